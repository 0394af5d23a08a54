package interop

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/open-telemetry/opamp-go/client"
	"github.com/open-telemetry/opamp-go/protobufs"
)

// Peers that can do the least that the protocol allows.

func TestAgentThatOnlyReportsStatus_B_IO_01_S_RC_01_S_EC_01(t *testing.T) {
	t.Parallel()
	for scheme, library := range map[string]client.OpAMPClient{"ws": client.NewWebSocket(nil), "http": client.NewHTTP(nil)} {
		t.Run(scheme, func(t *testing.T) {
			server := startOurServer(t)
			agent := newAgent(t, library)
			agent.capabilities = protobufs.AgentCapabilities_AgentCapabilities_ReportsStatus
			agent.start(scheme + "://" + server.opamp + "/v1/opamp")
			seen := agent.on(server)
			until(t, soon, "the server shows it", func() error { return seen.shows("status/connected", true) })

			seen.give(t, "good", "receivers: {otlp: {}}\n")
			until(t, soon, "the server says that it does not manage its config", func() error {
				return seen.condition("RemoteConfigApplied", "Unmanaged")
			})
			// That a later message is taken shows that the ones before were answered and asked for nothing.
			agent.must(agent.client.SetAgentDescription(&protobufs.AgentDescription{
				IdentifyingAttributes: []*protobufs.KeyValue{text("service.name", "another")}}))
			until(t, soon, "the server shows its new description", func() error {
				return seen.shows("metadata/description/identifyingAttributes/service.name", "another")
			})
			if errors := agent.errors(); len(errors) > 0 {
				t.Fatalf("the library met errors: %v", errors)
			}
			server.neededNoFullState(t)
			agent.stop()
		})
	}
}

func TestServerThatOnlyAcceptsStatus_B_IO_01_C_CP_06(t *testing.T) {
	t.Parallel()
	library := startLibraryServer(t)
	library.capabilities = uint64(protobufs.ServerCapabilities_ServerCapabilities_AcceptsStatus)
	supervisor := startOurSupervisor(t, t.TempDir(), "ws://"+library.address+"/v1/opamp")
	until(t, planned, "it is healthy", func() error { return library.holds(library.healthy) })
	collector, err := findCollector(supervisor.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	library.forget()
	if err := syscall.Kill(collector, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, planned, "it tells that another Collector is healthy", func() error { return library.holds(library.healthy) })
	// Its effective config would have come along, but this server takes none.
	if err := library.holds(func() error {
		if library.last.EffectiveConfig != nil || library.last.RemoteConfigStatus != nil {
			return fmt.Errorf("it was told %v", &library.last)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if problems := library.problems(); len(problems) > 0 {
		t.Fatalf("the library met errors: %v", problems)
	}
}
