package interop

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// Where an agent's own telemetry goes, by our server's word, to the Collector project's supervisor.

func TestEstablishedSupervisorTakesOwnTelemetrySettingsOverWebSocket_S_OT_02_03_S_CS_01(t *testing.T) {
	establishedTellsOfItself(t, "ws", ", reports_own_logs: true, reports_own_traces: true", "metrics", "logs", "traces")
}

func TestEstablishedSupervisorTakesOwnTelemetrySettingsOverHTTP_S_OT_02_S_CS_01(t *testing.T) {
	establishedTellsOfItself(t, "http", ", reports_own_logs: true, reports_own_traces: true", "metrics", "logs", "traces")
}

// Metrics are what it takes unless its file says otherwise.
func TestEstablishedSupervisorIsOfferedOnlyTheTelemetryThatItTakes_S_CS_01(t *testing.T) {
	establishedTellsOfItself(t, "ws", "", "metrics")
}

// establishedTellsOfItself offers it a destination for each signal, and then another one. It never says what came of an
// offer (it lacks ReportsConnectionSettingsStatus), so that what arrives is the only word there is.
func establishedTellsOfItself(t *testing.T, scheme, capabilities string, signals ...string) {
	t.Parallel()
	server := startOurServer(t)
	supervisor := startEstablishedWith(t, t.TempDir(), scheme+"://"+server.opamp+"/v1/opamp", capabilities,
		"metrics: {level: basic, readers: [{periodic: {interval: 3600000, exporter: {console: {}}}}]}")
	agent := server.onlyAgent(t)
	until(t, planned, "it is healthy", func() error { return agent.shows("status/componentHealth/healthy", true) })

	// By the new way, it is counted how often it connects; and it speaks each second, for it to hear what there is.
	balancer := startBalancerWith(t, "tcp.cfg", "1h", server.opamp)
	wanted := func(sink *sink, team string) object {
		settings := object{"opamp": object{"destinationEndpoint": scheme + "://" + balancer.address + "/v1/opamp",
			"heartbeatIntervalSeconds": 1}}
		for class, signal := range map[string]string{"ownMetrics": "metrics", "ownLogs": "logs", "ownTraces": "traces"} {
			settings[class] = object{"destinationEndpoint": sink.server.URL + "/v1/" + signal, "headers": object{"X-Team": []string{team}}}
		}
		return settings
	}
	otlp := freeAddress(t)
	agent.give(t, "good", pipeline(otlp, "debug/interop"))
	for at, team := range []string{"a", "b"} {
		sink := startSink(t)
		agent.wantSettings(t, wanted(sink, team))
		balancer.sees(t, 1)
		until(t, planned, "its Collector has it", func() error { return agent.runs(sink.server.URL) })
		until(t, planned, "a request, which makes a span", func() error {
			answer, err := http.Post("http://"+otlp+"/v1/traces", "application/json", strings.NewReader("{}"))
			if err == nil {
				answer.Body.Close()
			}
			return err
		})
		// What it has, a Collector sends before it stops; its metrics else once a minute.
		agent.restart(t)
		until(t, patient, "its telemetry for team "+team, func() error { return sink.has(team, signals) })
		until(t, planned, "it is healthy", func() error { return agent.shows("status/componentHealth/healthy", true) })
		if found := sink.signals(); found != len(signals) {
			t.Fatalf("it takes %v, and %d signals came", signals, found)
		}
		if err := agent.shows("status/connectionSettingsState", "Unreported"); err != nil {
			t.Fatal(err)
		}
		server.letsBe(t, supervisor.Process.Pid)
		// It takes its way again with each offer; over plain HTTP connections come and go as they like.
		if found := balancer.sessions(t); scheme == "ws" && found != at+1 {
			t.Fatalf("after %d offers it has come %d times", at+1, found)
		}
	}
}

// letsBe holds that the agent, told all there is, comes to rest: its Collector runs on over five messages of the agent.
func (s ourServer) letsBe(t *testing.T, supervisor int) {
	t.Helper()
	collector, since := 0, 0.0
	until(t, planned, "five messages of an agent that is let be", func() error {
		messages, err := s.counter("opamp_server_messages_total")
		if err != nil {
			return err
		}
		found, err := findCollector(supervisor)
		if err != nil || found != collector {
			before := collector
			collector, since = found, messages
			return fmt.Errorf("Collector %d has become %d (%v)", before, found, err)
		}
		if messages < since+5 {
			return fmt.Errorf("%v messages have become %v", since, messages)
		}
		return nil
	})
}

// sink is a receiver of OTLP over HTTP that remembers who sent what.
type sink struct {
	server *httptest.Server
	mutex  sync.Mutex
	came   map[string]string
}

func startSink(t *testing.T) *sink {
	t.Helper()
	s := &sink{came: map[string]string{}}
	s.server = httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		if request.Header.Get("Content-Type") == "application/x-protobuf" {
			s.came[strings.TrimPrefix(request.URL.Path, "/v1/")] = request.Header.Get("X-Team")
		}
		answer.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(s.server.Close)
	return s
}

// has says whether all these signals came, with the header that they shall have.
func (s *sink) has(team string, signals []string) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, signal := range signals {
		if found := s.came[signal]; found != team {
			return fmt.Errorf("%s came from team %q; there is %v", signal, found, s.came)
		}
	}
	return nil
}

func (s *sink) signals() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return len(s.came)
}
