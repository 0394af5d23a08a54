// Package interop holds our programs against the reference library, opamp-go: its client against our server,
// its server over our supervisor, each over WebSocket and plain HTTP.
//
// The programs are named by OPAMP_SERVER, OPAMP_SUPERVISOR and OTELCOL (tests/run.sh sets them).
package interop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const soon = 20 * time.Second

// until asks until there is no error; at the deadline the last error fails the test.
func until(t *testing.T, deadline time.Duration, what string, ask func() error) {
	t.Helper()
	end := time.Now().Add(deadline)
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s: %v", deadline, what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// executable is a program named by an environment variable.
func executable(t *testing.T, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Fatalf("%s must name a program; tests/run.sh sets it", variable)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return absolute
}

// start runs a program until the test ends; its log is shown when the test fails.
func start(t *testing.T, log string, name string, args ...string) *exec.Cmd {
	t.Helper()
	file, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(name, args...)
	command.Stdout, command.Stderr = file, file
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if command.ProcessState == nil {
			_ = command.Process.Signal(syscall.SIGTERM)
			waitFor(command, soon)
		}
		file.Close()
		if t.Failed() {
			text, _ := os.ReadFile(log)
			t.Logf("%s said:\n%s", name, text)
		}
	})
	return command
}

// waitFor returns when the program has ended; it is killed at the deadline.
func waitFor(command *exec.Cmd, deadline time.Duration) {
	timer := time.AfterFunc(deadline, func() { _ = command.Process.Kill() })
	defer timer.Stop()
	_ = command.Wait()
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// object is JSON, looked into by path.
type object map[string]any

func (o object) at(path string) any {
	var value any = map[string]any(o)
	for _, key := range strings.Split(path, "/") {
		inner, _ := value.(map[string]any)
		value = inner[key]
	}
	return value
}

func (o object) expect(path string, wanted any) error {
	if found := o.at(path); found != wanted {
		return fmt.Errorf("%s is %v, not %v", path, found, wanted)
	}
	return nil
}

// ourServer is a running opamp-server with its REST API.
type ourServer struct {
	opamp, api, token, dir string
	flags                  []string
	process                *exec.Cmd
}

func startOurServer(t *testing.T) ourServer {
	t.Helper()
	return startOurServerWith(t)
}

func startOurServerWith(t *testing.T, flags ...string) ourServer {
	t.Helper()
	return startAgain(t, ourServer{opamp: freeAddress(t), api: freeAddress(t), dir: t.TempDir(), flags: flags})
}

// startAgain starts a server on the addresses and the data of one before, or of none.
func startAgain(t *testing.T, server ourServer) ourServer {
	t.Helper()
	flags := append([]string{"--opamp-listen", server.opamp, "--api-listen", server.api,
		"--data-dir", filepath.Join(server.dir, "data")}, server.flags...)
	server.process = start(t, filepath.Join(server.dir, "server.log"), executable(t, "OPAMP_SERVER"), flags...)
	until(t, soon, "opamp-server is ready", func() error {
		answer, err := http.Get("http://" + server.api + "/readyz")
		if err != nil {
			return err
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz says %s", answer.Status)
		}
		return nil
	})
	token, err := os.ReadFile(filepath.Join(server.dir, "data", "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	server.token = strings.TrimSpace(string(token))
	return server
}

// counter is one of the server's numbers.
func (s ourServer) counter(name string) (float64, error) {
	request, err := http.NewRequest("GET", "http://"+s.api+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+s.token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if value, found := strings.CutPrefix(lines.Text(), name+" "); found {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("%s is not among the server's numbers: %s", name, answer.Status)
}

// call asks the REST API; the path is below the namespace default.
func (s ourServer) call(method, path string, body any) (object, error) {
	return s.ask(method, "namespaces/default/"+path, body)
}

// ask asks the REST API about what is in no namespace.
func (s ourServer) ask(method, path string, body any) (object, error) {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(text)
	}
	request, err := http.NewRequest(method, "http://"+s.api+"/api/v1/"+path, reader)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+s.token)
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode >= 300 {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, text)
	}
	found := object{}
	if len(text) == 0 {
		return found, nil
	}
	return found, json.Unmarshal(text, &found)
}
