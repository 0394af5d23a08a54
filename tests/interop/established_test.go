package interop

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// The supervisor of the Collector project, unmodified, beside the real Collector and under our server.

func TestEstablishedSupervisorOverWebSocketUnderOurServer(t *testing.T) {
	establishedIsManaged(t, "ws", "WebSocket")
}

func TestEstablishedSupervisorOverHTTPUnderOurServer(t *testing.T) {
	establishedIsManaged(t, "http", "HTTP")
}

// establishedIsManaged takes it through connect, config, APPLIED, FAILED, restart and goodbye.
func establishedIsManaged(t *testing.T, scheme, transport string) {
	t.Parallel()
	server := startOurServer(t)
	dir := t.TempDir()
	supervisor := startEstablished(t, dir, scheme+"://"+server.opamp+"/v1/opamp")
	agent := server.onlyAgent(t)
	for path, wanted := range map[string]any{
		"status/connected":                                           true,
		"status/connectionType":                                      transport,
		"status/componentHealth/healthy":                             true,
		"metadata/description/nonIdentifyingAttributes/os.type":      "linux",
		"metadata/description/identifyingAttributes/service.version": "0.149.0",
	} {
		until(t, planned, "the server shows "+path, func() error { return agent.shows(path, wanted) })
	}
	until(t, planned, "the server shows its components", func() error {
		return agent.has("status/availableComponents/components/receivers/components/otlp")
	})
	first, err := findCollector(supervisor.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}

	// It never says what came of settings: it is told once, goes where it is told to, and is not told again.
	balancer := startBalancerWith(t, "tcp.cfg", "1h", server.opamp)
	agent.wantSettings(t, object{"opamp": object{"destinationEndpoint": scheme + "://" + balancer.address + "/v1/opamp",
		"heartbeatIntervalSeconds": 2}})
	balancer.sees(t, 1)

	otlp := freeAddress(t)
	agent.give(t, "good", pipeline(otlp, "debug/interop"))
	until(t, planned, "APPLIED for the good config", func() error { return agent.answered("APPLIED") })
	until(t, planned, "the effective config shows it", func() error { return agent.runs("debug/interop") })
	until(t, planned, "it is healthy", func() error { return agent.shows("status/componentHealth/healthy", true) })

	agent.give(t, "bad", pipeline(otlp, "nosuchexporter"))
	until(t, planned, "FAILED for the bad config", func() error { return agent.answered("FAILED") })
	agent.give(t, "good", pipeline(otlp, "debug/interop"))
	until(t, planned, "APPLIED for the good config again", func() error { return agent.answered("APPLIED") })
	until(t, planned, "it is healthy again", func() error { return agent.shows("status/componentHealth/healthy", true) })

	second, err := findCollector(supervisor.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	agent.restart(t)
	until(t, planned, "another Collector, healthy", func() error {
		if pid, err := findCollector(supervisor.Process.Pid); err != nil || pid == second {
			return fmt.Errorf("Collector %d is still there (%v)", second, err)
		}
		return agent.shows("status/componentHealth/healthy", true)
	})
	t.Logf("Collectors: %d at first, %d until the restart", first, second)

	if err := agent.shows("status/connectionSettingsState", "Unreported"); err != nil {
		t.Fatal(err)
	}
	if found := balancer.sessions(t); scheme == "ws" && found != 1 {
		t.Fatalf("it has come %d times by its new way", found)
	}

	if err := supervisor.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waitFor(supervisor, soon)
	// Its library says goodbye over WebSocket only.
	if scheme == "ws" {
		until(t, soon, "the server sees the goodbye", func() error { return agent.shows("status/connected", false) })
	}
}

// startEstablished runs the Collector project's supervisor with a Collector that it may configure and restart.
func startEstablished(t *testing.T, dir, endpoint string) *exec.Cmd {
	t.Helper()
	return startEstablishedWith(t, dir, endpoint, "", "metrics: {level: none}")
}

// startEstablishedWith takes capabilities beyond the usual, and what the host says of the Collector's own telemetry; what
// the server says of it comes after that.
func startEstablishedWith(t *testing.T, dir, endpoint, capabilities, telemetry string) *exec.Cmd {
	t.Helper()
	base := filepath.Join(dir, "base.yaml")
	config := filepath.Join(dir, "supervisor.yaml")
	for path, text := range map[string]string{
		base: "service: {telemetry: {" + telemetry + "}}\n",
		config: fmt.Sprintf("server: {endpoint: %q}\ncapabilities: {accepts_remote_config: true, reports_remote_config: true, "+
			"accepts_restart_command: true, reports_available_components: true, accepts_opamp_connection_settings: true%s}\n"+
			"agent: {executable: %q, config_files: [%q, $OWN_TELEMETRY_CONFIG], bootstrap_timeout: 30s}\nstorage: {directory: %q}\n",
			endpoint, capabilities, executable(t, "OTELCOL"), base, filepath.Join(dir, "storage")),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bootstrap.Lock()
	defer bootstrap.Unlock()
	log := filepath.Join(dir, "supervisor.log")
	supervisor := start(t, log, executable(t, "ESTABLISHED_SUPERVISOR"), "--config", config)
	until(t, planned, "the Collector project's supervisor has asked its Collector what it is", func() error {
		text, err := os.ReadFile(log)
		if err == nil && !bytes.Contains(text, []byte("Supervisor starting")) {
			err = fmt.Errorf("its log has %d bytes", len(text))
		}
		return err
	})
	return supervisor
}

// The Collector project's supervisor first asks its Collector what it is, by a config in which nothing of the host's
// stands: for that time the Collector takes port 8888, so that only one may do so.
var bootstrap sync.Mutex
