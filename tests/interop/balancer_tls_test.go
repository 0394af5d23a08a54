package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// haproxy between agents that prove who they are and our server: one that passes TLS on, so that certificates are shown
// to our server, and one at which TLS ends, so that they are not.

func TestBalancerThatPassesTLSOnAndAgentsHaveCertificatesOfAnOperatorsCA_S_TC_04_S_CS_08(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"wss", "https"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cert, key := selfSigned(t, dir)
			signer := newAuthority(t)
			own := signer.file(t, dir, "edge-1")
			server := startOurServerWith(t, "--opamp-tls-cert", cert, "--opamp-tls-key", key, "--opamp-client-ca", own.ca)
			balancer := startBalancerWith(t, "tcp.cfg", "2s", server.opamp)
			startOurSupervisorWith(t, dir, fmt.Sprintf("endpoint: %q, tls: {ca_file: %q, cert_file: %q, key_file: %q}",
				scheme+"://"+balancer.address+"/v1/opamp", cert, own.cert, own.key), "")
			agent := server.onlyAgent(t)
			until(t, planned, "it is healthy", func() error { return agent.shows("status/componentHealth/healthy", true) })
			balancer.sees(t, balancer.sessions(t)+1)
			agent.give(t, "good", pipeline(freeAddress(t), "debug/interop"))
			until(t, patient, "APPLIED", func() error { return agent.answered("APPLIED") })
			server.hasOne(t, agent)
			server.neededNoFullState(t)

			through := server
			through.opamp = balancer.address
			if status := knock(t, through, trusting(t, cert)); status != http.StatusUnauthorized {
				t.Fatalf("without a certificate one is answered with %d", status)
			}
			identity := server.identity(t, "CN=edge-1")
			if _, err := server.ask("POST", "identities/"+identity+"/revoke", object{}); err != nil {
				t.Fatal(err)
			}
			until(t, planned, "it is cut off, and told why", func() error {
				if err := agent.shows("status/connected", false); err != nil {
					return err
				}
				text, err := os.ReadFile(filepath.Join(dir, "supervisor.log"))
				if err == nil && !bytes.Contains(text, []byte("401")) {
					err = fmt.Errorf("no 401 is in its log")
				}
				return err
			})
		})
	}
}

func TestBalancerThatPassesTLSOnAndAgentsAskForCertificates_S_CR_02_C_CR_05(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"wss", "https"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cert, key := selfSigned(t, dir)
			server := startOurServerWith(t, "--opamp-tls-cert", cert, "--opamp-tls-key", key)
			balancer := startBalancerWith(t, "tcp.cfg", "2s", server.opamp)
			enrols(t, dir, scheme+"://"+balancer.address+"/v1/opamp", cert, server.enrollment(t))
			agent := server.onlyAgent(t)
			until(t, patient, "it lives by a certificate", func() error {
				_, err := server.livesBy("Certificate")
				return err
			})
			balancer.sees(t, balancer.sessions(t)+1)
			agent.give(t, "good", pipeline(freeAddress(t), "debug/interop"))
			until(t, patient, "APPLIED", func() error { return agent.answered("APPLIED") })
			server.hasOne(t, agent)
		})
	}
}

// Our server believes nothing that a balancer says of who an agent is: behind one at which TLS ends, agents prove that by
// tokens and secrets alone. It signs nothing there, and agents that would like certificates are told so.
func TestBalancerAtWhichTLSEndsAndAgentsEnrol_S_CS_05_S_TF_02_C_TF_02_C_CR_03(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"wss", "https"} {
		for _, how := range []string{"told by the balancer", "told by an operator"} {
			t.Run(scheme+", "+how, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				scene := endsTLS(t, dir, scheme, how)
				enrols(t, dir, scene.url, scene.cert, scene.server.enrollment(t))
				agent := scene.server.onlyAgent(t)
				until(t, patient, "it lives by a secret of its own", func() error {
					_, err := scene.server.livesBy("Bearer")
					return err
				})
				until(t, patient, "the offer is in place", func() error { return agent.shows("status/connectionSettingsState", "Applied") })
				until(t, patient, "it tells that it gets no certificate", func() error {
					return agent.tells("this server signs no certificates")
				})
				scene.balancer.sees(t, scene.balancer.sessions(t)+1)
				agent.give(t, "good", pipeline(freeAddress(t), "debug/interop"))
				until(t, patient, "APPLIED", func() error { return agent.answered("APPLIED") })
				scene.server.hasOne(t, agent)
			})
		}
	}
}

// Told by nobody that agents came over TLS, our server offers the way that it sees, which our supervisor does not take: it
// would be one without TLS. It goes on with its token.
func TestBalancerAtWhichTLSEndsUnknownToOurServerAndAgentsStayEncrypted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	scene := endsTLS(t, dir, "wss", "not told")
	enrols(t, dir, scene.url, scene.cert, scene.server.enrollment(t))
	agent := scene.server.onlyAgent(t)
	until(t, patient, "the offer has failed", func() error { return agent.shows("status/connectionSettingsState", "Failed") })
	found, err := scene.server.call("GET", "agents/"+agent.uid, nil)
	if err != nil {
		t.Fatal(err)
	}
	if why := fmt.Sprint(found.at("status/connectionSettingsStatus/errorMessage")); !strings.Contains(why, "TLS") {
		t.Fatalf("the reason is %s", why)
	}
	until(t, patient, "it is managed", func() error { return agent.shows("status/connected", true) })
}

// behind is our server behind a balancer at which TLS ends.
type behind struct {
	server    ourServer
	balancer  balancer
	url, cert string
}

func endsTLS(t *testing.T, dir, scheme, how string) (scene behind) {
	t.Helper()
	cert, key := selfSigned(t, dir)
	both := filepath.Join(dir, "both.pem")
	text := []byte{}
	for _, file := range []string{cert, key} {
		part, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, part...)
	}
	if err := os.WriteFile(both, text, 0o600); err != nil {
		t.Fatal(err)
	}
	tells := map[bool]string{true: "yes", false: "no"}[how == "told by the balancer"]
	server := ourServer{opamp: freeAddress(t), api: freeAddress(t), dir: t.TempDir(), flags: []string{"--agent-auth", "required"}}
	scene.balancer = startBalancerWith(t, "ends-tls.cfg", "2s", server.opamp, "BALANCER_CERT="+both, "BALANCER_TELLS="+tells)
	scene.url, scene.cert = scheme+"://"+scene.balancer.address+"/v1/opamp", cert
	if how == "told by an operator" {
		server.flags = append(server.flags, "--opamp-advertise", scene.url)
	}
	scene.server = startAgain(t, server)
	return scene
}

// enrols starts our supervisor with a token, such that it would like to have a certificate.
func enrols(t *testing.T, dir, url, ca, token string) {
	t.Helper()
	startOurSupervisorWith(t, dir, fmt.Sprintf("endpoint: %q, tls: {ca_file: %q}, client_certificate: {request: true}, "+
		"headers: {Authorization: Bearer %s}", url, ca, token), ", accepts_opamp_connection_settings: true")
}

// tells says whether this stands anywhere in the agent's health.
func (m managed) tells(what string) error {
	found, err := m.server.call("GET", "agents/"+m.uid, nil)
	if err != nil {
		return err
	}
	if health := fmt.Sprint(found.at("status/componentHealth")); !strings.Contains(health, what) {
		return fmt.Errorf("its health is %s", health)
	}
	return nil
}

// identity is the name of the one that enrolled by a certificate with this subject.
func (s ourServer) identity(t *testing.T, subject string) string {
	t.Helper()
	list, err := s.ask("GET", "identities", nil)
	if err != nil {
		t.Fatal(err)
	}
	items, _ := list["items"].([]any)
	for _, item := range items {
		one, _ := item.(map[string]any)
		if object(one).at("status/enrolledWith/certificate") == subject {
			name, _ := object(one).at("metadata/name").(string)
			return name
		}
	}
	t.Fatalf("nobody is %s: %v", subject, items)
	return ""
}

// files are a client's certificate, its key and the CA.
type files struct {
	ca, cert, key string
}

// file makes a key and a certificate for a client.
func (a *authority) file(t *testing.T, dir, name string) (made files) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := a.issue(pkix.Name{CommonName: name}, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	made = files{ca: filepath.Join(dir, "clients.pem"), cert: filepath.Join(dir, name+".pem"), key: filepath.Join(dir, name+".key")}
	for path, text := range map[string][]byte{made.ca: inPEM("CERTIFICATE", a.cert.Raw), made.cert: inPEM("CERTIFICATE", der),
		made.key: inPEM("PRIVATE KEY", private)} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tls.LoadX509KeyPair(made.cert, made.key); err != nil {
		t.Fatal(err)
	}
	return made
}
