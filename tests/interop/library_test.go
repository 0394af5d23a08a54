package interop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/open-telemetry/opamp-go/protobufs"
	"github.com/open-telemetry/opamp-go/server"
	"github.com/open-telemetry/opamp-go/server/types"
)

// libraryServer is opamp-go's server with the least that a server must do: it keeps what the agent said last, asks
// for what it has missed, and offers what it was told to.
type libraryServer struct {
	address      string
	capabilities uint64

	mutex sync.Mutex
	// The agent's, of its last message.
	connection types.Connection
	last       protobufs.AgentToServer
	goodbye    bool
	wanted     *protobufs.AgentRemoteConfig
	offer      *protobufs.ConnectionSettingsOffers
	// Custom messages: to be sent, and those of the agent.
	says   []*protobufs.CustomMessage
	heard  []*protobufs.CustomMessage
	states []protobufs.ConnectionSettingsStatuses
	// Of the last request: its headers, and the certificates that its connection showed.
	headers http.Header
	shown   []*x509.Certificate
	// Signs what agents ask for, if there is one.
	authority *authority
	command   bool
	why       string
	steps     []step
	errors    []string
}

func startLibraryServer(t *testing.T) *libraryServer {
	t.Helper()
	return startLibraryServerWith(t, server.StartSettings{})
}

func startLibraryServerWith(t *testing.T, settings server.StartSettings) *libraryServer {
	t.Helper()
	s := &libraryServer{address: freeAddress(t),
		capabilities: uint64(protobufs.ServerCapabilities_ServerCapabilities_AcceptsStatus |
			protobufs.ServerCapabilities_ServerCapabilities_OffersRemoteConfig |
			protobufs.ServerCapabilities_ServerCapabilities_AcceptsEffectiveConfig)}
	library := server.New(nil)
	settings.ListenEndpoint, settings.ListenPath = s.address, "/v1/opamp"
	settings.Callbacks.OnConnecting = func(request *http.Request) types.ConnectionResponse {
		s.mutex.Lock()
		s.headers = request.Header.Clone()
		if request.TLS != nil {
			s.shown = request.TLS.PeerCertificates
		}
		s.mutex.Unlock()
		return types.ConnectionResponse{Accept: true, ConnectionCallbacks: types.ConnectionCallbacks{
			OnMessage: s.message,
			OnReadMessageError: func(_ types.Connection, _ int, _ []byte, err error) {
				s.problem(err)
			},
		}}
	}
	if err := library.Start(settings); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		defer cancel()
		_ = library.Stop(ctx)
	})
	return s
}

func (s *libraryServer) message(_ context.Context, from types.Connection, m *protobufs.AgentToServer) *protobufs.ServerToAgent {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.connection = from
	gap := s.last.InstanceUid != nil && m.SequenceNum != s.last.SequenceNum+1
	s.keep(m)
	if csr := m.GetConnectionSettingsRequest().GetOpamp().GetCertificateRequest().GetCsr(); csr != nil && s.authority != nil {
		s.offer = s.authority.sign(s, csr)
	}
	for len(s.steps) > 0 && s.steps[0].when() == nil {
		s.steps[0].then()
		s.steps = s.steps[1:]
	}
	reply := s.news()
	if gap || s.last.AgentDescription == nil {
		reply.Flags |= uint64(protobufs.ServerToAgentFlags_ServerToAgentFlags_ReportFullState)
	}
	if components := s.last.AvailableComponents; components != nil && len(components.Components) == 0 {
		reply.Flags |= uint64(protobufs.ServerToAgentFlags_ServerToAgentFlags_ReportAvailableComponents)
	}
	return reply
}

// keep remembers the parts that a message carries; what it leaves out has not changed.
func (s *libraryServer) keep(m *protobufs.AgentToServer) {
	if id, err := uuid.FromBytes(m.InstanceUid); err != nil || id == uuid.Nil {
		s.errors = append(s.errors, fmt.Sprintf("instance uid %x", m.InstanceUid))
	}
	s.last.InstanceUid, s.last.SequenceNum, s.last.Capabilities = m.InstanceUid, m.SequenceNum, m.Capabilities
	s.goodbye = m.AgentDisconnect != nil
	if m.AgentDescription != nil {
		s.last.AgentDescription = m.AgentDescription
	}
	if m.Health != nil {
		s.last.Health = m.Health
	}
	if m.EffectiveConfig != nil {
		s.last.EffectiveConfig = m.EffectiveConfig
	}
	if m.RemoteConfigStatus != nil {
		s.last.RemoteConfigStatus = m.RemoteConfigStatus
	}
	if m.ConnectionSettingsStatus != nil {
		s.last.ConnectionSettingsStatus = m.ConnectionSettingsStatus
		s.states = append(s.states, m.ConnectionSettingsStatus.Status)
	}
	if m.AvailableComponents != nil {
		s.last.AvailableComponents = m.AvailableComponents
	}
	if m.CustomCapabilities != nil {
		s.last.CustomCapabilities = m.CustomCapabilities
	}
	if m.CustomMessage != nil {
		s.heard = append(s.heard, m.CustomMessage)
	}
}

// news is what the agent has not been told or has not answered yet.
func (s *libraryServer) news() *protobufs.ServerToAgent {
	reply := &protobufs.ServerToAgent{InstanceUid: s.last.InstanceUid, Capabilities: s.capabilities}
	if s.wanted != nil && !bytes.Equal(s.last.RemoteConfigStatus.GetLastRemoteConfigHash(), s.wanted.ConfigHash) {
		reply.RemoteConfig = s.wanted
	}
	if s.offer != nil && !bytes.Equal(s.last.ConnectionSettingsStatus.GetLastConnectionSettingsHash(), s.offer.Hash) {
		reply.ConnectionSettings = s.offer
	}
	if len(s.says) > 0 {
		reply.CustomMessage, s.says = s.says[0], s.says[1:]
	}
	if s.command {
		s.command = false
		return &protobufs.ServerToAgent{InstanceUid: s.last.InstanceUid,
			Command: &protobufs.ServerToAgentCommand{Type: protobufs.CommandType_CommandType_Restart}}
	}
	return reply
}

// step is taken with the first message after which `when` holds. Both run under the server's lock.
type step struct {
	name string
	when func() error
	then func()
}

func nothingMore() {}

// plan sets the steps and starts the agent before the first of them can be taken.
func (s *libraryServer) plan(steps []step, start func()) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.steps = steps
	start()
}

// ended says which step is waited for, and why.
func (s *libraryServer) ended() error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if len(s.steps) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w", s.steps[0].name, s.steps[0].when())
}

func remoteConfig(text string) *protobufs.AgentRemoteConfig {
	hash := sha256.Sum256([]byte(text))
	return &protobufs.AgentRemoteConfig{ConfigHash: hash[:], Config: &protobufs.AgentConfigMap{
		ConfigMap: map[string]*protobufs.AgentConfigFile{"pipeline": {Body: []byte(text), ContentType: "text/yaml"}}}}
}

// knowsAll says whether the agent has told everything that it is to tell at first.
func (s *libraryServer) knowsAll() error {
	attributes := map[string]string{}
	for _, pair := range s.last.AgentDescription.GetIdentifyingAttributes() {
		attributes[pair.Key] = pair.Value.GetStringValue()
	}
	for _, pair := range s.last.AgentDescription.GetNonIdentifyingAttributes() {
		attributes[pair.Key] = pair.Value.GetStringValue()
	}
	for _, key := range []string{"service.name", "service.version", "service.instance.id", "os.type", "host.name"} {
		if attributes[key] == "" {
			return fmt.Errorf("%s is not in its description %v", key, attributes)
		}
	}
	wanted := protobufs.AgentCapabilities_AgentCapabilities_ReportsStatus |
		protobufs.AgentCapabilities_AgentCapabilities_AcceptsRemoteConfig |
		protobufs.AgentCapabilities_AgentCapabilities_ReportsRemoteConfig |
		protobufs.AgentCapabilities_AgentCapabilities_AcceptsRestartCommand |
		protobufs.AgentCapabilities_AgentCapabilities_ReportsAvailableComponents
	if s.last.Capabilities&uint64(wanted) != uint64(wanted) {
		return fmt.Errorf("its capabilities are %b", s.last.Capabilities)
	}
	components := s.last.AvailableComponents
	if _, has := components.GetComponents()["receivers"].GetSubComponentMap()["otlp"]; !has || len(components.Hash) == 0 {
		return fmt.Errorf("its components are %v", components)
	}
	if !s.last.Health.GetHealthy() {
		return fmt.Errorf("its health is %v", s.last.Health)
	}
	return nil
}

// answered says whether the agent's word on its config is this one, about this config.
func (s *libraryServer) answered(config *protobufs.AgentRemoteConfig, status protobufs.RemoteConfigStatuses) func() error {
	return func() error {
		found := s.last.RemoteConfigStatus
		if !bytes.Equal(found.GetLastRemoteConfigHash(), config.ConfigHash) || found.GetStatus() != status {
			return fmt.Errorf("its word is %v", found)
		}
		return nil
	}
}

// runs says whether the agent is healthy with an effective config that names the component.
func (s *libraryServer) runs(component string) func() error {
	return func() error {
		if !s.last.Health.GetHealthy() {
			return fmt.Errorf("its health is %v", s.last.Health)
		}
		for _, file := range s.last.EffectiveConfig.GetConfigMap().GetConfigMap() {
			if bytes.Contains(file.Body, []byte(component)) {
				return nil
			}
		}
		return fmt.Errorf("its effective config is %v", s.last.EffectiveConfig)
	}
}

// holds asks under the server's lock.
func (s *libraryServer) holds(ask func() error) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return ask()
}

func (s *libraryServer) healthy() error {
	if !s.last.Health.GetHealthy() {
		return fmt.Errorf("its health is %v", s.last.Health)
	}
	return nil
}

// forget drops what was told so far, but for who told it.
func (s *libraryServer) forget() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.last.Health, s.last.EffectiveConfig, s.last.RemoteConfigStatus = nil, nil, nil
}

func (s *libraryServer) saidGoodbye() bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.goodbye
}

func (s *libraryServer) problem(err error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.errors = append(s.errors, err.Error())
}

func (s *libraryServer) problems() []string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.errors
}
