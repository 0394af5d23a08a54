package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/csv"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/open-telemetry/opamp-go/client"
)

// haproxy between agents and our server, cutting every link that is silent for two seconds.

// Backoff lies between one cut and the next return.
const patient = 3 * time.Minute

func TestBalancerCutsSilentWebSocketsAndAgentsComeBack(t *testing.T) {
	t.Parallel()
	server := startOurServer(t)
	balancer := startBalancer(t, server.opamp)
	dir := t.TempDir()
	supervisor := startOurSupervisor(t, dir, "ws://"+balancer.address+"/v1/opamp")
	agent := server.onlyAgent(t)
	until(t, soon, "it is healthy", func() error { return agent.shows("status/componentHealth/healthy", true) })
	collector, err := findCollector(supervisor.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}

	balancer.sees(t, 4)
	until(t, patient, "it is connected", func() error { return agent.shows("status/connected", true) })
	// A config finds its way between two cuts.
	agent.give(t, "good", pipeline(freeAddress(t), "debug/interop"))
	until(t, patient, "APPLIED over a link that is cut", func() error { return agent.answered("APPLIED") })
	until(t, patient, "the effective config shows it", func() error { return agent.runs("debug/interop") })
	balancer.sees(t, balancer.sessions(t)+2)

	server.hasOne(t, agent)
	server.neededNoFullState(t)
	if pid, err := findCollector(supervisor.Process.Pid); err != nil || pid == 0 {
		t.Fatalf("the Collector is gone: %v", err)
	} else {
		t.Logf("Collector %d at first, %d at the end; %d sessions", collector, pid, balancer.sessions(t))
	}
}

func TestBalancerCutsSilentHTTPConnectionsAndAgentsPollOn(t *testing.T) {
	t.Parallel()
	server := startOurServer(t)
	balancer := startBalancer(t, server.opamp)
	startOurSupervisor(t, t.TempDir(), "http://"+balancer.address+"/v1/opamp")
	agent := server.onlyAgent(t)
	until(t, soon, "it is healthy", func() error { return agent.shows("status/componentHealth/healthy", true) })
	// Each poll after a silence finds its connection closed, and takes another one.
	balancer.sees(t, balancer.sessions(t)+2)
	agent.give(t, "good", pipeline(freeAddress(t), "debug/interop"))
	until(t, planned, "APPLIED", func() error { return agent.answered("APPLIED") })
	server.hasOne(t, agent)
	server.neededNoFullState(t)
}

func TestBalancerThatPassesTLSOnCutsSilentLinksAndAgentsComeBack(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"wss", "https"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cert, key := selfSigned(t, dir)
			server := startOurServerWith(t, "--opamp-tls-cert", cert, "--opamp-tls-key", key, "--agent-auth", "none")
			balancer := startBalancerWith(t, "tcp.cfg", "2s", server.opamp)
			startOurSupervisorWith(t, dir, fmt.Sprintf("endpoint: %q, tls: {ca_file: %q}",
				scheme+"://"+balancer.address+"/v1/opamp", cert), "")
			agent := server.onlyAgent(t)
			until(t, soon, "it is healthy", func() error { return agent.shows("status/componentHealth/healthy", true) })
			balancer.sees(t, 3)
			agent.give(t, "good", pipeline(freeAddress(t), "debug/interop"))
			until(t, patient, "APPLIED", func() error { return agent.answered("APPLIED") })
			server.hasOne(t, agent)
			server.neededNoFullState(t)
		})
	}
}

func TestBalancerAndAnotherAgentsLibrary(t *testing.T) {
	t.Parallel()
	server := startOurServer(t)
	balancer := startBalancer(t, server.opamp)
	agent := newAgent(t, client.NewWebSocket(nil))
	agent.start("ws://" + balancer.address + "/v1/opamp")
	until(t, soon, "it is there", func() error { return agent.on(server).shows("status/connected", true) })
	agent.on(server).give(t, "good", "receivers: {otlp: {}}\n")
	until(t, soon, "APPLIED", func() error { return agent.on(server).answered("APPLIED") })
	server.hasOne(t, agent.on(server))
	agent.stop()
}

func TestBalancerWithoutAServerAndAgentsComeBackOnceThereIsOne(t *testing.T) {
	t.Parallel()
	server := startOurServer(t)
	balancer := startBalancer(t, server.opamp)
	startOurSupervisor(t, t.TempDir(), "ws://"+balancer.address+"/v1/opamp")
	agent := server.onlyAgent(t)
	until(t, soon, "it is healthy", func() error { return agent.shows("status/componentHealth/healthy", true) })
	agent.give(t, "good", pipeline(freeAddress(t), "debug/interop"))
	until(t, patient, "APPLIED", func() error { return agent.answered("APPLIED") })

	if err := server.process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waitFor(server.process, soon)
	before := balancer.sessions(t)
	// The balancer answers 503 for the server that it cannot reach.
	balancer.sees(t, before+1)
	server = startAgain(t, server)
	agent.server = server
	until(t, patient, "it is connected again", func() error { return agent.shows("status/connected", true) })
	until(t, soon, "its config is the one from before", func() error { return agent.answered("APPLIED") })
	server.hasOne(t, agent)
	server.neededNoFullState(t)
}

// selfSigned makes a certificate for this host and its key, and names their files.
func selfSigned(t *testing.T, dir string) (string, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		Subject: pkix.Name{CommonName: "interop"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, bytes []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", cert), write("key.pem", "PRIVATE KEY", private)
}

// balancer is a running haproxy.
type balancer struct {
	address, stats string
}

// startBalancer runs haproxy for HTTP before a server, cutting what is silent for two seconds: far less than any
// agent's heartbeat.
func startBalancer(t *testing.T, server string) balancer {
	t.Helper()
	return startBalancerWith(t, "http.cfg", "2s", server)
}

// startBalancerWith takes variables of the config beyond those that each has.
func startBalancerWith(t *testing.T, config, silence, server string, more ...string) balancer {
	t.Helper()
	// A socket's path may have a hundred characters only.
	dir, err := os.MkdirTemp("", "balancer")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := balancer{address: freeAddress(t), stats: filepath.Join(dir, "stats")}
	words := append([]string{"BALANCER_LISTEN=" + b.address, "BALANCER_STATS=" + b.stats, "BALANCER_SILENCE=" + silence,
		"BALANCER_SERVER=" + server}, more...)
	start(t, filepath.Join(dir, "log"), "env", append(words, "haproxy", "-db", "-f", filepath.Join("balancer", config))...)
	until(t, soon, "haproxy is there", func() error {
		_, err := b.total()
		return err
	})
	return b
}

// total asks haproxy how many connections agents have made.
func (b balancer) total() (int, error) {
	link, err := net.Dial("unix", b.stats)
	if err != nil {
		return 0, err
	}
	defer link.Close()
	if _, err := link.Write([]byte("show stat\n")); err != nil {
		return 0, err
	}
	text, err := io.ReadAll(link)
	if err != nil {
		return 0, err
	}
	rows, err := csv.NewReader(bytes.NewReader(bytes.TrimSpace(text))).ReadAll()
	if err != nil {
		return 0, err
	}
	for _, row := range rows[1:] {
		if row[1] != "FRONTEND" {
			continue
		}
		for at, name := range rows[0] {
			if name == "stot" {
				return strconv.Atoi(row[at])
			}
		}
	}
	return 0, fmt.Errorf("haproxy says %s", text)
}

func (b balancer) sessions(t *testing.T) int {
	t.Helper()
	found, err := b.total()
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// sees waits until agents have made so many connections.
func (b balancer) sees(t *testing.T, wanted int) {
	t.Helper()
	until(t, patient, fmt.Sprintf("%d connections", wanted), func() error {
		if found := b.sessions(t); found < wanted {
			return fmt.Errorf("there are %d", found)
		}
		return nil
	})
}

// hasOne fails unless the agent is the only one that the server knows.
func (s ourServer) hasOne(t *testing.T, agent managed) {
	t.Helper()
	if only := s.onlyAgent(t); only.uid != agent.uid {
		t.Fatalf("the agent was %s and is %s", agent.uid, only.uid)
	}
}

// neededNoFullState fails if the server asked for what an agent had left out.
func (s ourServer) neededNoFullState(t *testing.T) {
	t.Helper()
	asked, err := s.counter("opamp_server_full_state_requests_total")
	if err != nil {
		t.Fatal(err)
	}
	if asked != 0 {
		t.Fatalf("the server asked for the full state %v times", asked)
	}
}
