package interop

import (
	"context"
	"fmt"
	"testing"

	"github.com/open-telemetry/opamp-go/client"
	"github.com/open-telemetry/opamp-go/protobufs"
)

const accepting = all |
	protobufs.AgentCapabilities_AgentCapabilities_AcceptsOpAMPConnectionSettings |
	protobufs.AgentCapabilities_AgentCapabilities_ReportsOwnMetrics |
	protobufs.AgentCapabilities_AgentCapabilities_ReportsConnectionSettingsStatus

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
