package interop

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/open-telemetry/opamp-go/client"
	"github.com/open-telemetry/opamp-go/client/types"
	"github.com/open-telemetry/opamp-go/protobufs"
)

func TestOpampGoClientOverWebSocketWithOurServer(t *testing.T) {
	server := startOurServer(t)
	agent := newAgent(t, client.NewWebSocket(nil))
	agent.start("ws://" + server.opamp + "/v1/opamp")
	agentIsManaged(t, server, agent, "WebSocket")
	// The library says goodbye over WebSocket only.
	agent.stop()
	until(t, soon, "the server sees the goodbye", func() error { return agent.on(server).shows("status/connected", false) })
}

func TestOpampGoClientOverHTTPWithOurServer(t *testing.T) {
	server := startOurServer(t)
	agent := newAgent(t, client.NewHTTP(nil))
	agent.start("http://" + server.opamp + "/v1/opamp")
	agentIsManaged(t, server, agent, "HTTP")
	agent.stop()
}

// agentIsManaged takes an agent through connect, config, APPLIED, FAILED and restart.
func agentIsManaged(t *testing.T, server ourServer, agent *agent, transport string) {
	for path, wanted := range map[string]any{
		"status/connected":                                      true,
		"status/connectionType":                                 transport,
		"status/componentHealth/healthy":                        true,
		"status/componentHealth/components/p/status":            "StatusOK",
		"metadata/description/nonIdentifyingAttributes/os.type": "linux",
		"status/availableComponents/hash":                       hex.EncodeToString(agent.components.Hash),
		"status/availableComponents/components/receivers/components/otlp/metadata/code.namespace": "example.com/otlp v1",
	} {
		until(t, soon, "the server shows "+path, func() error { return agent.on(server).shows(path, wanted) })
	}

	give := func(name, value string) { agent.on(server).give(t, name, value) }
	give("good", "receivers: {otlp: {}} # 1.20\n")
	until(t, soon, "the server shows APPLIED for the wanted config", func() error { return agent.on(server).answered("APPLIED") })
	until(t, soon, "the server shows the effective config", func() error {
		return agent.on(server).shows("status/effectiveConfig/configMap/configMap/good/body", "receivers: {otlp: {}} # 1.20\n")
	})
	give("bad", "refuse me\n")
	until(t, soon, "the server shows FAILED for the wanted config", func() error { return agent.on(server).answered("FAILED") })
	if err := agent.on(server).shows("status/remoteConfigStatus/errorMessage", "refused as told"); err != nil {
		t.Fatal(err)
	}

	agent.on(server).restart(t)
	select {
	case <-agent.restarts:
	case <-time.After(soon):
		t.Fatal("the restart command did not come")
	}
	if errors := agent.errors(); len(errors) > 0 {
		t.Fatalf("the library met errors: %v", errors)
	}
}

// agent is an opamp-go client that takes any config but one that says "refuse me".
type agent struct {
	t          *testing.T
	client     client.OpAMPClient
	id         uuid.UUID
	uid        string
	components *protobufs.AvailableComponents
	restarts   chan struct{}
	// What it can do; what it cannot is not told.
	capabilities protobufs.AgentCapabilities
	offers       offers
	// None for an agent that takes no custom messages.
	echoes *echoes
	// How it connects.
	header http.Header
	tls    *tls.Config

	mutex     sync.Mutex
	effective map[string]*protobufs.AgentConfigFile
	problems  []string
}

const all = protobufs.AgentCapabilities_AgentCapabilities_ReportsStatus |
	protobufs.AgentCapabilities_AgentCapabilities_AcceptsRemoteConfig |
	protobufs.AgentCapabilities_AgentCapabilities_ReportsRemoteConfig |
	protobufs.AgentCapabilities_AgentCapabilities_ReportsEffectiveConfig |
	protobufs.AgentCapabilities_AgentCapabilities_ReportsHealth |
	protobufs.AgentCapabilities_AgentCapabilities_ReportsHeartbeat |
	protobufs.AgentCapabilities_AgentCapabilities_ReportsAvailableComponents |
	protobufs.AgentCapabilities_AgentCapabilities_AcceptsRestartCommand

func newAgent(t *testing.T, library client.OpAMPClient) *agent {
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte("components"))
	made := &agent{t: t, client: library, id: id, uid: id.String(), restarts: make(chan struct{}, 4),
		capabilities: all, components: &protobufs.AvailableComponents{Hash: hash[:], Components: map[string]*protobufs.ComponentDetails{
			"receivers": {SubComponentMap: map[string]*protobufs.ComponentDetails{
				"otlp": {Metadata: []*protobufs.KeyValue{text("code.namespace", "example.com/otlp v1")}}}}}}}
	made.offers.agent = made
	return made
}

func (a *agent) can(capability protobufs.AgentCapabilities) bool {
	return a.capabilities&capability != 0
}

func (a *agent) start(url string) {
	a.t.Helper()
	now := uint64(time.Now().UnixNano())
	health := &protobufs.ComponentHealth{Healthy: true, StartTimeUnixNano: now, StatusTimeUnixNano: now,
		Status: "StatusOK", ComponentHealthMap: map[string]*protobufs.ComponentHealth{
			"p": {Healthy: true, Status: "StatusOK", StatusTimeUnixNano: now}}}
	description := &protobufs.AgentDescription{
		IdentifyingAttributes:    []*protobufs.KeyValue{text("service.name", "interop"), text("service.version", "1")},
		NonIdentifyingAttributes: []*protobufs.KeyValue{text("os.type", "linux")}}
	interval := 200 * time.Millisecond
	a.must(a.client.SetAgentDescription(description))
	if a.can(protobufs.AgentCapabilities_AgentCapabilities_ReportsHealth) {
		a.must(a.client.SetHealth(health))
	}
	if a.can(protobufs.AgentCapabilities_AgentCapabilities_ReportsAvailableComponents) {
		a.must(a.client.SetAvailableComponents(a.components))
	}
	// Last: the library wants to have been told what the capabilities promise.
	a.must(a.client.SetCapabilities(&a.capabilities))
	a.must(a.client.Start(context.Background(), types.StartSettings{
		OpAMPServerURL:    url,
		Header:            a.header,
		TLSConfig:         a.tls,
		InstanceUid:       types.InstanceUid(a.id),
		HeartbeatInterval: &interval,
		Callbacks: types.Callbacks{
			OnConnectFailed:           func(_ context.Context, err error) { a.problem("connect: " + err.Error()) },
			OnError:                   func(_ context.Context, err *protobufs.ServerErrorResponse) { a.problem("server: " + err.String()) },
			OnMessage:                 a.message,
			OnOpampConnectionSettings: a.offers.forOpamp,
			OnConnectionSettings:      a.offers.forOthers,
			GetEffectiveConfig:        func(context.Context) (*protobufs.EffectiveConfig, error) { return a.config(), nil },
			OnCommand: func(_ context.Context, command *protobufs.ServerToAgentCommand) error {
				if command.Type == protobufs.CommandType_CommandType_Restart {
					a.restarts <- struct{}{}
				}
				return nil
			},
		},
	}))
}

func (a *agent) message(ctx context.Context, message *types.MessageData) {
	if a.echoes != nil {
		a.echoes.take(a, message)
	}
	offer := message.RemoteConfig
	if offer == nil {
		return
	}
	if !a.can(protobufs.AgentCapabilities_AgentCapabilities_AcceptsRemoteConfig) {
		a.problem("it was offered a config that it does not take")
		return
	}
	status := &protobufs.RemoteConfigStatus{LastRemoteConfigHash: offer.ConfigHash,
		Status: protobufs.RemoteConfigStatuses_RemoteConfigStatuses_APPLIED}
	if _, bad := offer.GetConfig().GetConfigMap()["bad"]; bad {
		status.Status = protobufs.RemoteConfigStatuses_RemoteConfigStatuses_FAILED
		status.ErrorMessage = "refused as told"
	} else {
		a.mutex.Lock()
		a.effective = offer.GetConfig().GetConfigMap()
		a.mutex.Unlock()
		if err := a.client.UpdateEffectiveConfig(ctx); err != nil {
			a.problem("effective config: " + err.Error())
		}
	}
	if err := a.client.SetRemoteConfigStatus(status); err != nil {
		a.problem("status: " + err.Error())
	}
}

func (a *agent) config() *protobufs.EffectiveConfig {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return &protobufs.EffectiveConfig{ConfigMap: &protobufs.AgentConfigMap{ConfigMap: a.effective}}
}

func (a *agent) stop() {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	a.must(a.client.Stop(ctx))
}

// on is this agent as the server has it.
func (a *agent) on(server ourServer) managed { return managed{server: server, uid: a.uid} }

func (a *agent) problem(text string) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.problems = append(a.problems, text)
}

func (a *agent) errors() []string {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return a.problems
}

func (a *agent) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

func text(key, value string) *protobufs.KeyValue {
	return &protobufs.KeyValue{Key: key, Value: &protobufs.AnyValue{
		Value: &protobufs.AnyValue_StringValue{StringValue: value}}}
}
