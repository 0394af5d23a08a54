package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// managed is an agent as our server's REST API has it.
type managed struct {
	server ourServer
	uid    string
}

// onlyAgent waits for the one agent of the server.
func (s ourServer) onlyAgent(t *testing.T) managed {
	t.Helper()
	found := managed{server: s}
	until(t, planned, "one agent appears", func() error {
		list, err := s.call("GET", "agents", nil)
		if err != nil {
			return err
		}
		items, _ := list["items"].([]any)
		if len(items) != 1 {
			return fmt.Errorf("there are %d", len(items))
		}
		item, _ := items[0].(map[string]any)
		found.uid, _ = object(item).at("metadata/instanceUid").(string)
		if found.uid == "" {
			return fmt.Errorf("it has no uid: %v", item)
		}
		return nil
	})
	return found
}

func (m managed) shows(path string, wanted any) error {
	found, err := m.server.call("GET", "agents/"+m.uid, nil)
	if err != nil {
		return err
	}
	return found.expect(path, wanted)
}

func (m managed) has(path string) error {
	found, err := m.server.call("GET", "agents/"+m.uid, nil)
	if err != nil {
		return err
	}
	if found.at(path) == nil {
		return fmt.Errorf("%s is not there", path)
	}
	return nil
}

// runs says whether the effective config names the component.
func (m managed) runs(component string) error {
	found, err := m.server.call("GET", "agents/"+m.uid, nil)
	if err != nil {
		return err
	}
	effective := fmt.Sprint(found.at("status/effectiveConfig"))
	if !strings.Contains(effective, component) {
		return fmt.Errorf("its effective config is %s", effective)
	}
	return nil
}

// condition says whether the agent's condition of this type has this reason.
func (m managed) condition(kind, reason string) error {
	found, err := m.server.call("GET", "agents/"+m.uid, nil)
	if err != nil {
		return err
	}
	conditions, _ := found.at("status/conditions").([]any)
	for _, condition := range conditions {
		if one, _ := condition.(map[string]any); one["type"] == kind {
			return object(one).expect("reason", reason)
		}
	}
	return fmt.Errorf("it has no condition %s: %v", kind, conditions)
}

// give makes a config, or changes it, and asks for it as the agent's only one.
func (m managed) give(t *testing.T, name, value string) {
	t.Helper()
	config := map[string]any{"kind": "AgentRemoteConfig", "apiVersion": "v1",
		"metadata": map[string]any{"name": name, "namespace": "default"},
		"spec":     map[string]any{"value": value, "contentType": "text/yaml"}}
	if _, err := m.server.call("GET", "agentremoteconfigs/"+name, nil); err != nil {
		if _, err := m.server.call("POST", "agentremoteconfigs", config); err != nil {
			t.Fatal(err)
		}
	}
	names := map[string]any{"spec": map[string]any{"remoteConfig": map[string]any{"remoteConfigNames": []string{name}}}}
	if _, err := m.server.call("PUT", "agents/"+m.uid, names); err != nil {
		t.Fatal(err)
	}
}

// answered says whether the agent's word is this one, about the config that the server wants.
func (m managed) answered(status string) error {
	found, err := m.server.call("GET", "agents/"+m.uid, nil)
	if err != nil {
		return err
	}
	wanted := found.at("status/desiredConfigHash")
	if text, _ := wanted.(string); text == "" {
		return fmt.Errorf("the server wants no config")
	}
	if err := found.expect("status/remoteConfigStatus/lastRemoteConfigHash", wanted); err != nil {
		return err
	}
	return found.expect("status/remoteConfigStatus/status", status)
}

// restart asks for another Collector.
func (m managed) restart(t *testing.T) {
	t.Helper()
	restart := map[string]any{"spec": map[string]any{"restartRequiredAt": time.Now().UTC().Format(time.RFC3339)}}
	if _, err := m.server.call("PUT", "agents/"+m.uid, restart); err != nil {
		t.Fatal(err)
	}
}
