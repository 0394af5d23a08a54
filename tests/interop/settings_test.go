package interop

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/open-telemetry/opamp-go/client"
	"github.com/open-telemetry/opamp-go/protobufs"
)

const accepting = all |
	protobufs.AgentCapabilities_AgentCapabilities_AcceptsOpAMPConnectionSettings |
	protobufs.AgentCapabilities_AgentCapabilities_ReportsOwnMetrics |
	protobufs.AgentCapabilities_AgentCapabilities_ReportsConnectionSettingsStatus

const (
	settingsApplying = protobufs.ConnectionSettingsStatuses_ConnectionSettingsStatuses_APPLYING
	settingsApplied  = protobufs.ConnectionSettingsStatuses_ConnectionSettingsStatuses_APPLIED
	settingsFailed   = protobufs.ConnectionSettingsStatuses_ConnectionSettingsStatuses_FAILED
)

func TestOpampGoClientTakesOurSettingsOverWebSocket_S_CS_01_05_07_S_HB_03(t *testing.T) {
	clientTakesSettings(t, "ws", client.NewWebSocket(nil))
}

func TestOpampGoClientTakesOurSettingsOverHTTP_S_CS_01_05_07_S_HB_03(t *testing.T) {
	clientTakesSettings(t, "http", client.NewHTTP(nil))
}

// clientTakesSettings offers two classes that the library takes and one that it does not, and then others.
func clientTakesSettings(t *testing.T, scheme string, library client.OpAMPClient) {
	t.Parallel()
	server := startOurServer(t)
	agent := newAgent(t, library)
	agent.capabilities = accepting
	url := scheme + "://" + server.opamp + "/v1/opamp"
	agent.start(url)
	seen := agent.on(server)
	until(t, soon, "the server shows it", func() error { return seen.shows("status/connected", true) })

	wanted := func(team string) object {
		return object{
			"opamp":      object{"destinationEndpoint": url, "headers": object{"X-Team": []string{team}}, "heartbeatIntervalSeconds": 1},
			"ownMetrics": object{"destinationEndpoint": "https://otel.example.com:4318/v1/metrics"},
			"ownLogs":    object{"destinationEndpoint": "https://otel.example.com:4318/v1/logs"},
		}
	}
	for _, team := range []string{"a", "b"} {
		seen.wantSettings(t, wanted(team))
		until(t, soon, "APPLIED for team "+team, func() error { return seen.settled(agent, team) })
		offer := agent.offers.last()
		if offer.opamp.DestinationEndpoint != url || offer.opamp.HeartbeatIntervalSeconds != 1 {
			t.Fatalf("it was offered %v", offer.opamp)
		}
		if offer.others.GetOwnMetrics().GetDestinationEndpoint() != "https://otel.example.com:4318/v1/metrics" {
			t.Fatalf("it was offered %v", offer.others)
		}
		if offer.others.GetOwnLogs() != nil {
			t.Fatalf("it takes no settings for logs, and was offered %v", offer.others)
		}
	}
	// Heartbeats come each second now, and bring no further offer: there is nothing new.
	messages, err := server.counter("opamp_server_messages_total")
	if err != nil {
		t.Fatal(err)
	}
	offers := agent.offers.count()
	until(t, soon, "three heartbeats", func() error {
		now, err := server.counter("opamp_server_messages_total")
		if err == nil && now < messages+3 {
			err = fmt.Errorf("%v messages have become %v", messages, now)
		}
		return err
	})
	if again := agent.offers.count(); again != offers {
		t.Fatalf("what is in place was offered again: %d offers became %d", offers, again)
	}
	if errors := agent.errors(); len(errors) > 0 {
		t.Fatalf("the library met errors: %v", errors)
	}
	agent.stop()
}

func TestOurSupervisorGoesWhereOpampGoServerSendsItOverWebSocket_C_CS_02_04_06_09(t *testing.T) {
	supervisorIsSentOn(t, "ws")
}

func TestOurSupervisorGoesWhereOpampGoServerSendsItOverHTTP_C_CS_02_04_06_09(t *testing.T) {
	supervisorIsSentOn(t, "http")
}

// supervisorIsSentOn has one server offer the other's address, with a header and heartbeats each second; then the other
// offers an address where nobody listens.
func supervisorIsSentOn(t *testing.T, scheme string) {
	t.Parallel()
	settings := func(address string) *protobufs.ConnectionSettingsOffers {
		url := scheme + "://" + address + "/v1/opamp"
		return &protobufs.ConnectionSettingsOffers{Hash: []byte(address), Opamp: &protobufs.OpAMPConnectionSettings{
			DestinationEndpoint: url, HeartbeatIntervalSeconds: 1,
			Headers: &protobufs.Headers{Headers: []*protobufs.Header{{Key: "X-Team", Value: "a"}}}}}
	}
	first, second := startLibraryServer(t), startLibraryServer(t)
	first.offer = settings(second.address)
	for _, server := range []*libraryServer{first, second} {
		server.capabilities |= uint64(protobufs.ServerCapabilities_ServerCapabilities_OffersConnectionSettings)
	}
	startOurSupervisorWith(t, t.TempDir(), fmt.Sprintf("endpoint: %q, settings_apply_timeout: 3s",
		scheme+"://"+first.address+"/v1/opamp"), ", accepts_opamp_connection_settings: true")

	until(t, planned, "the second server hears that the offer is applied", func() error {
		return second.holds(func() error {
			if found := second.last.ConnectionSettingsStatus; found.GetStatus() != settingsApplied ||
				string(found.GetLastConnectionSettingsHash()) != second.address {
				return fmt.Errorf("it heard %v", found)
			}
			if team := second.headers.Get("X-Team"); team != "a" {
				return fmt.Errorf("the header that was offered is %q", team)
			}
			return second.healthy()
		})
	})
	if err := first.holds(func() error {
		other := func(state protobufs.ConnectionSettingsStatuses) bool { return state != settingsApplying }
		if len(first.states) == 0 || slices.ContainsFunc(first.states, other) || !first.goodbye {
			return fmt.Errorf("the first server heard %v, and a goodbye: %v", first.states, first.goodbye)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}

	nobody := freeAddress(t)
	_ = second.holds(func() error {
		second.offer = settings(nobody)
		return nil
	})
	until(t, planned, "the second server hears that the next one failed, and why", func() error {
		return second.holds(func() error {
			found := second.last.ConnectionSettingsStatus
			if found.GetStatus() != settingsFailed || string(found.GetLastConnectionSettingsHash()) != nobody ||
				!strings.Contains(found.GetErrorMessage(), nobody) {
				return fmt.Errorf("it heard %v", found)
			}
			return nil
		})
	})
}

// offers are the connection settings that an agent was given.
type offers struct {
	agent *agent
	opamp []*protobufs.OpAMPConnectionSettings
	other []*protobufs.ConnectionSettingsOffers
}

type offer struct {
	opamp  *protobufs.OpAMPConnectionSettings
	others *protobufs.ConnectionSettingsOffers
}

func (o *offers) forOpamp(_ context.Context, settings *protobufs.OpAMPConnectionSettings) error {
	o.agent.mutex.Lock()
	defer o.agent.mutex.Unlock()
	o.opamp = append(o.opamp, settings)
	return nil
}

func (o *offers) forOthers(_ context.Context, settings *protobufs.ConnectionSettingsOffers) error {
	o.agent.mutex.Lock()
	defer o.agent.mutex.Unlock()
	o.other = append(o.other, settings)
	return nil
}

func (o *offers) last() (found offer) {
	o.agent.mutex.Lock()
	defer o.agent.mutex.Unlock()
	if len(o.opamp) > 0 {
		found.opamp = o.opamp[len(o.opamp)-1]
	}
	if len(o.other) > 0 {
		found.others = o.other[len(o.other)-1]
	}
	return found
}

func (o *offers) count() int {
	o.agent.mutex.Lock()
	defer o.agent.mutex.Unlock()
	return len(o.opamp)
}

// wantSettings writes the connection settings of an agent.
func (m managed) wantSettings(t *testing.T, settings object) {
	t.Helper()
	if _, err := m.server.call("PUT", "agents/"+m.uid, object{"spec": object{"connectionSettings": settings}}); err != nil {
		t.Fatal(err)
	}
}

// settled says whether the server shows that the agent has taken what it was offered for this team.
func (m managed) settled(agent *agent, team string) error {
	headers := agent.offers.last().opamp.GetHeaders().GetHeaders()
	if len(headers) != 1 || headers[0].Key != "X-Team" || headers[0].Value != team {
		return fmt.Errorf("the headers that it was offered are %v", headers)
	}
	return m.shows("status/connectionSettingsState", "Applied")
}
