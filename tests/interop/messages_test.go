package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/open-telemetry/opamp-go/client"
	"github.com/open-telemetry/opamp-go/client/types"
	"github.com/open-telemetry/opamp-go/protobufs"
	"github.com/open-telemetry/opamp-go/server"
)

// Custom messages, both ways.

const (
	echo      = "com.example.echo/v1"
	discovery = "io.github.opamp-supervisor.discovery/v1"
)

func TestOpampGoClientIsSentCustomMessagesOverWebSocket_B_CU_01_02_04_06(t *testing.T) {
	clientEchoes(t, "ws", client.NewWebSocket(nil))
}

func TestOpampGoClientIsSentCustomMessagesOverHTTP_B_CU_01_02_04_06(t *testing.T) {
	clientEchoes(t, "http", client.NewHTTP(nil))
}

// clientEchoes has an operator write to an agent that answers, speaks unasked, and then gives its capability up.
func clientEchoes(t *testing.T, scheme string, library client.OpAMPClient) {
	t.Parallel()
	ours := startOurServerWith(t, "--custom-capability", echo)
	agent := newAgent(t, library)
	agent.echoes = &echoes{}
	agent.must(library.SetCustomCapabilities(capable(echo, "com.example.theirs/v1")))
	agent.start(scheme + "://" + ours.opamp + "/v1/opamp")
	seen := agent.on(ours)
	until(t, soon, "the server shows its list", func() error { return seen.isCapableOf(echo, "com.example.theirs/v1") })
	if err := seen.say(echo, "ping", "hello"); err != nil {
		t.Fatal(err)
	}
	until(t, soon, "the server shows the answer", func() error { return seen.heard("echo of ping: hello") })
	if told := agent.echoes.ofServer(); !slices.Contains(told, echo) || !slices.Contains(told, discovery) {
		t.Fatalf("the list that the agent was told is %v", told)
	}

	// What one side alone has is neither sent nor kept. The library sends it: it looks at its own list only.
	if err := seen.say("com.example.theirs/v1", "ping", ""); err == nil || !strings.Contains(err.Error(), "409") {
		t.Fatalf("a message of a capability that the server lacks: %v", err)
	}
	agent.says("com.example.theirs/v1", "unasked", "ignored")
	agent.says(echo, "unasked", "kept")
	until(t, soon, "what it says unasked", func() error { return seen.heard("echo of ping: hello", "kept") })
	if ignored, err := ours.counter("opamp_server_custom_messages_ignored_total"); err != nil || ignored != 1 {
		t.Fatalf("%v messages were ignored (%v)", ignored, err)
	}

	agent.must(library.SetCustomCapabilities(capable("com.example.theirs/v1")))
	until(t, soon, "the server shows its new list", func() error { return seen.isCapableOf("com.example.theirs/v1") })
	if err := seen.say(echo, "ping", ""); err == nil || !strings.Contains(err.Error(), "does not advertise") {
		t.Fatalf("a message of a capability that the agent gave up: %v", err)
	}
	if errors := agent.errors(); len(errors) > 0 {
		t.Fatalf("the library met errors: %v", errors)
	}
	agent.stop()
}

func TestOurSupervisorIsSentCustomMessagesOverWebSocket_B_CU_01_04_05_06(t *testing.T) {
	supervisorAnswers(t, "ws")
}

func TestOurSupervisorIsSentCustomMessagesOverHTTP_B_CU_01_04_05_06(t *testing.T) {
	supervisorAnswers(t, "http")
}

// supervisorAnswers asks what listens on the host, among messages of which the agent knows nothing.
func supervisorAnswers(t *testing.T, scheme string) {
	t.Parallel()
	library := startLibraryServerWith(t, knowing(discovery))
	startOurSupervisorWith(t, t.TempDir(), fmt.Sprintf("endpoint: %q", scheme+"://"+library.address+"/v1/opamp"),
		", reports_services: true")
	until(t, planned, "it says what it is capable of", func() error {
		return library.holds(func() error {
			if list := library.last.CustomCapabilities.GetCapabilities(); !slices.Equal(list, []string{discovery}) {
				return fmt.Errorf("its list is %v", list)
			}
			return nil
		})
	})
	library.say(t, message(echo, "request", `{"id": "1"}`))
	library.say(t, message(discovery, "of no known type", `{"id": "2"}`))
	library.say(t, message(discovery, "request", `{"id": "3"}`))
	var answer *protobufs.CustomMessage
	until(t, patient, "the answer", func() error {
		return library.holds(func() error {
			if len(library.heard) == 0 {
				return fmt.Errorf("nothing came; %d questions wait", len(library.says))
			}
			// Answers come in the order of the questions: the other two were passed over.
			answer = library.heard[0]
			return nil
		})
	})
	if answer.Capability != discovery || answer.Type != "services" {
		t.Fatalf("the answer is %v", answer)
	}
	var found struct {
		ID       string `json:"id"`
		Services []struct {
			Process string `json:"process"`
			Listens []struct {
				Port int `json:"port"`
			} `json:"listens"`
		} `json:"services"`
	}
	if err := json.Unmarshal(answer.Data, &found); err != nil || found.ID != "3" {
		t.Fatalf("the answer is %s (%v)", answer.Data, err)
	}
	_, text, _ := net.SplitHostPort(library.address)
	port, _ := strconv.Atoi(text)
	for _, service := range found.Services {
		for _, listens := range service.Listens {
			if listens.Port == port {
				return
			}
		}
	}
	t.Fatalf("this server's own port %d is not among %s", port, answer.Data)
}

func TestOurSupervisorSaysNothingToAServerThatLacksTheCapability_B_CU_06(t *testing.T) {
	t.Parallel()
	// The library sends its list always; this one has none, and asks all the same.
	library := startLibraryServer(t)
	dir := t.TempDir()
	startOurSupervisorWith(t, dir, fmt.Sprintf("endpoint: %q", "ws://"+library.address+"/v1/opamp"), ", reports_services: true")
	until(t, planned, "it is healthy", func() error { return library.holds(library.healthy) })
	library.say(t, message(discovery, "request", ""))
	until(t, soon, "its log says why there is no answer", func() error {
		text, err := os.ReadFile(filepath.Join(dir, "supervisor.log"))
		if err == nil && !strings.Contains(string(text), "custom messages do not go to the server") {
			err = fmt.Errorf("it does not")
		}
		return err
	})
	if err := library.holds(func() error {
		if len(library.heard) > 0 {
			return fmt.Errorf("it was told %v", library.heard)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func knowing(capability string) (settings server.StartSettings) {
	settings.CustomCapabilities = []string{capability}
	return settings
}

func message(capability, kind, data string) *protobufs.CustomMessage {
	return &protobufs.CustomMessage{Capability: capability, Type: kind, Data: []byte(data)}
}

func capable(names ...string) *protobufs.CustomCapabilities {
	return &protobufs.CustomCapabilities{Capabilities: names}
}

// say sends a message at once where the transport lets a server speak first, else in the answer to a poll.
func (s *libraryServer) say(t *testing.T, message *protobufs.CustomMessage) {
	t.Helper()
	s.mutex.Lock()
	defer s.mutex.Unlock()
	push := &protobufs.ServerToAgent{InstanceUid: s.last.InstanceUid, CustomMessage: message}
	if err := s.connection.Send(context.Background(), push); err != nil {
		s.says = append(s.says, message)
	}
}

// echoes are what an agent does with custom messages.
type echoes struct {
	mutex sync.Mutex
	ours  []string
}

// take answers a message of the server, and remembers the server's list.
func (e *echoes) take(a *agent, received *types.MessageData) {
	if list := received.CustomCapabilities; list != nil {
		e.mutex.Lock()
		e.ours = list.Capabilities
		e.mutex.Unlock()
	}
	if said := received.CustomMessage; said != nil {
		// Not in the callback: it may have to wait until another message is sent.
		go a.says(said.Capability, "pong", "echo of "+said.Type+": "+string(said.Data))
	}
}

func (e *echoes) ofServer() []string {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	return e.ours
}

// says sends a message once the one before is sent: the library takes one at a time.
func (a *agent) says(capability, kind, data string) {
	for {
		sent, err := a.client.SendCustomMessage(message(capability, kind, data))
		if err == nil {
			return
		}
		if err != types.ErrCustomMessagePending {
			a.problem("custom message: " + err.Error())
			return
		}
		<-sent
	}
}

func (m managed) isCapableOf(names ...string) error {
	found, err := m.server.call("GET", "agents/"+m.uid, nil)
	if err != nil {
		return err
	}
	wanted := fmt.Sprint(names)
	return object{"list": fmt.Sprint(found.at("metadata/customCapabilities/capabilities"))}.expect("list", wanted)
}

// say has an operator send a message to the agent.
func (m managed) say(capability, kind, text string) error {
	_, err := m.server.call(http.MethodPost, "agents/"+m.uid+"/messages",
		object{"capability": capability, "type": kind, "text": text})
	return err
}

// heard says whether these are the messages that the server has of the agent, in this order.
func (m managed) heard(texts ...string) error {
	list, err := m.server.call("GET", "agents/"+m.uid+"/messages", nil)
	if err != nil {
		return err
	}
	items, _ := list["items"].([]any)
	found := []string{}
	for _, item := range items {
		one, _ := item.(map[string]any)
		found = append(found, fmt.Sprint(one["text"]))
	}
	if !slices.Equal(found, texts) {
		return fmt.Errorf("the messages are %q", found)
	}
	return nil
}
