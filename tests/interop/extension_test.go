package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/uuid"
)

// A real Collector with the opamp extension, unmodified, talks to our server with no supervisor between them.

func TestExtensionOverWebSocketUnderOurServer(t *testing.T) {
	extensionIsSeen(t, "ws: {endpoint: ws://%s/v1/opamp}", "WebSocket")
}

func TestExtensionOverHTTPUnderOurServer(t *testing.T) {
	extensionIsSeen(t, "http: {endpoint: http://%s/v1/opamp, polling_interval: 1s}", "HTTP")
}

// extensionIsSeen starts a Collector and holds what the server shows against what it runs. The extension takes no
// config: one that is wanted for it stays with the server, which says so.
func extensionIsSeen(t *testing.T, how, transport string) {
	t.Parallel()
	server := startOurServer(t)
	dir := t.TempDir()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "collector.yaml")
	text := fmt.Sprintf("extensions: {opamp: {instance_uid: %s, server: {%s}, capabilities: {reports_available_components: true}}}\n",
		id, fmt.Sprintf(how, server.opamp)) +
		fmt.Sprintf("receivers: {otlp: {protocols: {http: {endpoint: %s}}}}\nexporters: {debug/interop: {}}\n", freeAddress(t)) +
		"service:\n  extensions: [opamp]\n  telemetry: {metrics: {level: none}}\n" +
		"  pipelines: {traces: {receivers: [otlp], exporters: [debug/interop]}}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	collector := start(t, filepath.Join(dir, "collector.log"), executable(t, "OTELCOL"), "--config", config)

	agent := server.onlyAgent(t)
	if agent.uid != id.String() {
		t.Fatalf("the agent is %s, not %s", agent.uid, id)
	}
	for path, wanted := range map[string]any{
		"status/connected":                                           true,
		"status/connectionType":                                      transport,
		"status/componentHealth/healthy":                             true,
		"metadata/description/identifyingAttributes/service.name":    "otelcol-example",
		"metadata/description/identifyingAttributes/service.version": "0.149.0",
	} {
		until(t, soon, "the server shows "+path, func() error { return agent.shows(path, wanted) })
	}
	until(t, soon, "the effective config shows the exporter", func() error { return agent.runs("debug/interop") })
	until(t, soon, "the server shows its components", func() error {
		return agent.has("status/availableComponents/components/receivers/components/otlp")
	})
	until(t, soon, "the server shows the pipeline's health", func() error {
		return agent.has("status/componentHealth/components/pipeline:traces")
	})

	agent.give(t, "other", pipeline(freeAddress(t), "debug/other"))
	until(t, soon, "the server says that it does not manage its config", func() error {
		return agent.condition("RemoteConfigApplied", "Unmanaged")
	})

	if err := collector.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waitFor(collector, soon)
	// The library says goodbye over WebSocket only.
	if transport == "WebSocket" {
		until(t, soon, "the server sees the goodbye", func() error { return agent.shows("status/connected", false) })
	}
}
