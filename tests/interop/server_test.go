package interop

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/open-telemetry/opamp-go/protobufs"
)

// An agent polls over plain HTTP every 30 s when it has nothing to say: enough for one poll.
const planned = 60 * time.Second

const (
	applied = protobufs.RemoteConfigStatuses_RemoteConfigStatuses_APPLIED
	failed  = protobufs.RemoteConfigStatuses_RemoteConfigStatuses_FAILED
)

func TestOurSupervisorOverWebSocketUnderOpampGoServer(t *testing.T) {
	supervisorIsManaged(t, "ws")
}

func TestOurSupervisorOverHTTPUnderOpampGoServer(t *testing.T) {
	supervisorIsManaged(t, "http")
}

// supervisorIsManaged takes our supervisor with a real Collector through connect, config, APPLIED, FAILED, restart
// and goodbye.
func supervisorIsManaged(t *testing.T, scheme string) {
	t.Parallel()
	library := startLibraryServer(t)
	dir := t.TempDir()
	otlp := freeAddress(t)
	// Over plain HTTP news waits for the agent's next request, so each step is taken in the reply to the report that
	// ends the one before.
	good, bad := remoteConfig(pipeline(otlp, "debug/interop")), remoteConfig(pipeline(otlp, "nosuchexporter"))
	var supervisor *exec.Cmd
	first, second := 0, 0
	collector := func() (pid int) {
		pid, err := findCollector(supervisor.Process.Pid)
		if err != nil {
			library.errors = append(library.errors, err.Error())
		}
		return pid
	}
	library.plan([]step{
		{"all of itself", library.knowsAll, func() {
			first = collector()
			library.wanted = good
		}},
		{"APPLIED for the good config", library.answered(good, applied), nothingMore},
		{"the effective config shows it, and it is healthy", library.runs("debug/interop"), func() { library.wanted = bad }},
		{"FAILED for the bad config", library.answered(bad, failed), func() {
			library.why = library.last.RemoteConfigStatus.ErrorMessage
			library.wanted = good
		}},
		{"APPLIED for the good config again", library.answered(good, applied), func() {
			second = collector()
			library.command = true
		}},
		{"another Collector, healthy", func() error {
			if pid, err := findCollector(supervisor.Process.Pid); err != nil || pid == second {
				return fmt.Errorf("Collector %d is still there (%v)", second, err)
			}
			return library.runs("debug/interop")()
		}, nothingMore},
	}, func() { supervisor = startOurSupervisor(t, dir, scheme+"://"+library.address+"/v1/opamp") })
	until(t, planned, "every step", library.ended)
	if !strings.Contains(library.why, "nosuchexporter") {
		t.Fatalf("the reason does not name the component: %s", library.why)
	}

	if err := supervisor.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waitFor(supervisor, soon)
	if code := supervisor.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("the supervisor ended with %d", code)
	}
	until(t, soon, "the goodbye", func() error {
		if !library.saidGoodbye() {
			return fmt.Errorf("no agent_disconnect came")
		}
		return nil
	})
	if problems := library.problems(); len(problems) > 0 {
		t.Fatalf("the library met errors: %v", problems)
	}
	t.Logf("Collectors: %d at first, %d until the restart", first, second)
}

func pipeline(otlp, exporter string) string {
	return fmt.Sprintf("receivers: {otlp: {protocols: {http: {endpoint: %s}}}}\nexporters: {%s: {}}\n"+
		"service:\n  pipelines:\n    traces: {receivers: [otlp], exporters: [%s]}\n", otlp, exporter, exporter)
}

func startOurSupervisor(t *testing.T, dir, endpoint string) *exec.Cmd {
	t.Helper()
	return startOurSupervisorWith(t, dir, fmt.Sprintf("endpoint: %q", endpoint), "")
}

// startOurSupervisorWith takes what is in the section server, and capabilities beyond the usual.
func startOurSupervisorWith(t *testing.T, dir, server, capabilities string) *exec.Cmd {
	t.Helper()
	// Port 8888, where a Collector shows its own metrics unless told otherwise, may be another's.
	base := filepath.Join(dir, "base.yaml")
	config := filepath.Join(dir, "supervisor.yaml")
	for path, text := range map[string]string{
		base: "service: {telemetry: {metrics: {level: none}}}\n",
		config: fmt.Sprintf("server: {%s}\ncapabilities: {accepts_remote_config: true, "+
			"accepts_restart_command: true, reports_available_components: true%s}\n"+
			"agent: {executable: %q, config_files: [%q]}\nstorage: {directory: %q}\n",
			server, capabilities, executable(t, "OTELCOL"), base, filepath.Join(dir, "storage")),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return start(t, filepath.Join(dir, "supervisor.log"), executable(t, "OPAMP_SUPERVISOR"), "--config", config)
}

// findCollector is the pid of the one child that is an agent, and not a Collector that validates or prints something.
func findCollector(parent int) (int, error) {
	entries, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	found := 0
	for _, entry := range entries {
		stat, err := os.ReadFile(entry)
		if err != nil {
			continue
		}
		pid, state, ppid := 0, "", 0
		fmt.Sscanf(string(stat), "%d", &pid)
		fmt.Sscanf(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " %s %d", &state, &ppid)
		if ppid != parent || state == "Z" {
			continue
		}
		line, err := os.ReadFile(filepath.Join(filepath.Dir(entry), "cmdline"))
		if words := strings.Split(string(line), "\x00"); err != nil || len(words) < 2 || !strings.HasPrefix(words[1], "--") {
			continue
		}
		if found != 0 {
			return 0, fmt.Errorf("supervisor %d has two children, %d and %d", parent, found, pid)
		}
		found = pid
	}
	if found == 0 {
		return 0, fmt.Errorf("supervisor %d has no Collector", parent)
	}
	return found, nil
}
