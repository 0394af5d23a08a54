package interop

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/open-telemetry/opamp-go/client"
	"github.com/open-telemetry/opamp-go/protobufs"
	"github.com/open-telemetry/opamp-go/server"
)

// Certificates that agents ask for: signed by our server for the library's client, and the other way round.

func TestOpampGoClientAsksOurServerForACertificateOverWebSocket_S_CR_01_02_03_S_CT_01_B_CT_01_S_CS_03_08(t *testing.T) {
	clientIsCertified(t, "wss", func() client.OpAMPClient { return client.NewWebSocket(nil) })
}

func TestOpampGoClientAsksOurServerForACertificateOverHTTP_S_CR_01_02_03_S_CT_01_B_CT_01_S_CS_03_08(t *testing.T) {
	clientIsCertified(t, "https", func() client.OpAMPClient { return client.NewHTTP(nil) })
}

// clientIsCertified takes an agent from a token by a secret of its own to a certificate, and cuts it off.
func clientIsCertified(t *testing.T, scheme string, library func() client.OpAMPClient) {
	t.Parallel()
	cert, key := selfSigned(t, t.TempDir())
	ours := startOurServerWith(t, "--opamp-tls-cert", cert, "--opamp-tls-key", key)
	url := scheme + "://" + ours.opamp + "/v1/opamp"
	agent := newAgent(t, library())
	agent.capabilities = accepting
	agent.header, agent.tls = http.Header{"Authorization": {"Bearer " + ours.enrollment(t)}}, trusting(t, cert)
	agent.start(url)
	until(t, soon, "a secret of its own", func() error {
		headers := agent.offers.last().opamp.GetHeaders().GetHeaders()
		if len(headers) != 1 || !strings.HasPrefix(headers[0].Value, "Bearer oac_") {
			return fmt.Errorf("it was offered %v", agent.offers.last().opamp)
		}
		return nil
	})

	// The library shows nobody what the server is capable of: that this one takes requests is known here.
	agent.must(agent.client.RequestConnectionSettings(asking([]byte("no request at all"))))
	until(t, soon, "what is no request is refused", func() error {
		if errors := agent.errors(); len(errors) != 1 || !strings.Contains(errors[0], "BadRequest") {
			return fmt.Errorf("it heard of %q", errors)
		}
		return nil
	})
	private, csr := certificateRequest(t, agent.uid)
	agent.must(agent.client.RequestConnectionSettings(asking(csr)))
	until(t, soon, "a certificate", func() error {
		if agent.offers.last().opamp.GetCertificate() == nil {
			return fmt.Errorf("it was offered %v", agent.offers.last().opamp)
		}
		return nil
	})
	own := isIssued(t, agent.offers.last().opamp.Certificate, private)
	agent.stop()

	// The library leaves it to its user to connect anew.
	next := newAgent(t, library())
	next.capabilities, next.id, next.uid = accepting, agent.id, agent.uid
	next.tls = trusting(t, cert)
	next.tls.Certificates = []tls.Certificate{own}
	next.start(url)
	identity := ""
	until(t, soon, "the certificate is what is left", func() (err error) {
		identity, err = ours.livesBy("Certificate")
		return err
	})
	until(t, soon, "it is connected", func() error { return next.on(ours).shows("status/connected", true) })
	next.on(ours).give(t, "good", "receivers: {otlp: {}}\n")
	// Over plain HTTP with the next poll, which our server has it make after 30 s.
	until(t, planned, "APPLIED", func() error { return next.on(ours).answered("APPLIED") })
	if errors := next.errors(); len(errors) > 0 {
		t.Fatalf("the library met errors: %v", errors)
	}

	if status := knock(t, ours, next.tls); status == http.StatusUnauthorized {
		t.Fatal("it is not let in by its certificate")
	}
	if _, err := ours.ask("POST", "identities/"+identity+"/revoke", object{}); err != nil {
		t.Fatal(err)
	}
	until(t, soon, "it is cut off", func() error { return next.on(ours).shows("status/connected", false) })
	if status := knock(t, ours, next.tls); status != http.StatusUnauthorized {
		t.Fatalf("by a certificate that was revoked it is answered with %d", status)
	}
	next.stop()
}

func TestOurSupervisorAsksOpampGoServerForACertificateOverWebSocket_C_CR_01_02_03_05_C_TF_01_C_CS_02_06(t *testing.T) {
	supervisorIsCertified(t, "wss")
}

func TestOurSupervisorAsksOpampGoServerForACertificateOverHTTP_C_CR_01_02_03_05_C_TF_01_C_CS_02_06(t *testing.T) {
	supervisorIsCertified(t, "https")
}

// supervisorIsCertified has a server sign what our supervisor asks for, and looks at what it is shown from then on.
func supervisorIsCertified(t *testing.T, scheme string) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := selfSigned(t, dir)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	signer := newAuthority(t)
	clients := x509.NewCertPool()
	clients.AddCert(signer.cert)
	var settings server.StartSettings
	settings.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: clients,
		ClientAuth: tls.VerifyClientCertIfGiven}
	library := startLibraryServerWith(t, settings)
	library.authority = signer
	library.capabilities |= uint64(protobufs.ServerCapabilities_ServerCapabilities_OffersConnectionSettings)
	// At first it signs nothing, and is not asked to.
	run := func() (stop func()) {
		supervisor := startOurSupervisorWith(t, dir, fmt.Sprintf("endpoint: %q, tls: {ca_file: %q}, client_certificate: {request: true}",
			scheme+"://"+library.address+"/v1/opamp", cert), ", accepts_opamp_connection_settings: true")
		return func() {
			t.Helper()
			if err := supervisor.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			waitFor(supervisor, soon)
		}
	}
	stop := run()
	until(t, planned, "it tells why it has no certificate", func() error {
		return library.holds(func() error {
			if told := fmt.Sprint(library.last.Health); !strings.Contains(told, "this server signs no certificates") {
				return fmt.Errorf("its health is %s", told)
			}
			if signer.asked > 0 || len(library.shown) > 0 {
				return fmt.Errorf("it asked %d times", signer.asked)
			}
			return nil
		})
	})
	stop()

	_ = library.holds(func() error {
		library.capabilities |= uint64(protobufs.ServerCapabilities_ServerCapabilities_AcceptsConnectionSettingsRequest)
		return nil
	})
	stop = run()
	until(t, planned, "the certificate is in use", func() error { return library.holds(library.knowsByCertificate) })
	if err := library.holds(func() error {
		// It says APPLYING over the connection before, and at first over the one that it tries.
		states := slices.Compact(library.states)
		if !slices.Equal(states, []protobufs.ConnectionSettingsStatuses{settingsApplying, settingsApplied}) {
			return fmt.Errorf("of the offer it told %v", library.states)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	stop()
	_ = library.holds(func() error {
		library.shown, library.last.Health = nil, nil
		return nil
	})
	run()
	until(t, planned, "it is back by it", func() error { return library.holds(library.knowsByCertificate) })
	if signer.asked != 1 {
		t.Fatalf("it asked for %d certificates", signer.asked)
	}
	if problems := library.problems(); len(problems) > 0 {
		t.Fatalf("the library met errors: %v", problems)
	}
}

// knowsByCertificate says whether the agent, healthy, came by the certificate that was made for it.
func (s *libraryServer) knowsByCertificate() error {
	if len(s.shown) == 0 {
		return fmt.Errorf("it shows no certificate; its health is %v", s.last.Health)
	}
	uid, err := uuid.FromBytes(s.last.InstanceUid)
	if err != nil {
		return err
	}
	if name := s.shown[0].Subject.CommonName; name != uid.String() {
		return fmt.Errorf("its certificate is for %s, and it is %s", name, uid)
	}
	if found := s.last.ConnectionSettingsStatus.GetStatus(); found != settingsApplied {
		return fmt.Errorf("its word is %v", found)
	}
	return s.healthy()
}

// authority signs certificates for clients.
type authority struct {
	cert  *x509.Certificate
	key   crypto.Signer
	asked int
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().AddDate(2, 0, 0), Subject: pkix.Name{CommonName: "clients"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert: cert, key: key}
}

// issue signs a certificate for a client's key.
func (a *authority) issue(subject pkix.Name, key crypto.PublicKey) ([]byte, error) {
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Minute),
		NotAfter: time.Now().AddDate(1, 0, 0), Subject: subject, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	return x509.CreateCertificate(rand.Reader, template, a.cert, key, a.key)
}

// sign answers a request; what is wrong with one is kept as an error of the server's.
func (a *authority) sign(s *libraryServer, csr []byte) *protobufs.ConnectionSettingsOffers {
	a.asked++
	refused := func(err error) *protobufs.ConnectionSettingsOffers {
		s.errors = append(s.errors, err.Error())
		return nil
	}
	block, _ := pem.Decode(csr)
	if block == nil {
		return refused(fmt.Errorf("the request is no PEM: %q", csr))
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return refused(err)
	}
	if err := request.CheckSignature(); err != nil {
		return refused(err)
	}
	der, err := a.issue(request.Subject, request.PublicKey)
	if err != nil {
		return refused(err)
	}
	// Nothing but the certificate, and heartbeats each second.
	hash := sha256.Sum256(csr)
	return &protobufs.ConnectionSettingsOffers{Hash: hash[:], Opamp: &protobufs.OpAMPConnectionSettings{HeartbeatIntervalSeconds: 1,
		Certificate: &protobufs.TLSCertificate{Cert: inPEM("CERTIFICATE", der), CaCert: inPEM("CERTIFICATE", a.cert.Raw)}}}
}

func inPEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func asking(csr []byte) *protobufs.ConnectionSettingsRequest {
	return &protobufs.ConnectionSettingsRequest{Opamp: &protobufs.OpAMPConnectionSettingsRequest{
		CertificateRequest: &protobufs.CertificateRequest{Csr: csr}}}
}

// certificateRequest makes a key and a request that is signed with it.
func certificateRequest(t *testing.T, name string) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return key, inPEM("CERTIFICATE REQUEST", der)
}

// isIssued holds a certificate against the key that it was asked for with, and the CA that came along.
func isIssued(t *testing.T, offered *protobufs.TLSCertificate, key *ecdsa.PrivateKey) tls.Certificate {
	t.Helper()
	if len(offered.PrivateKey) > 0 {
		t.Fatal("there is a private key in the offer")
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	own, err := tls.X509KeyPair(offered.Cert, inPEM("PRIVATE KEY", private))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(offered.CaCert) {
		t.Fatalf("the CA in the offer is %q", offered.CaCert)
	}
	leaf, err := x509.ParseCertificate(own.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Fatal(err)
	}
	return own
}

func trusting(t *testing.T, file string) *tls.Config {
	t.Helper()
	text, err := os.ReadFile(file)
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(text) {
		t.Fatalf("%s: %v", file, err)
	}
	return &tls.Config{RootCAs: roots}
}

// enrollment makes a token by which one agent may come in.
func (s ourServer) enrollment(t *testing.T) string {
	t.Helper()
	made, err := s.call("POST", "enrollmenttokens", object{"metadata": object{"name": "rack"}, "spec": object{}})
	if err != nil {
		t.Fatal(err)
	}
	token, _ := made.at("status/token").(string)
	return token
}

// livesBy is the one identity, if a credential of this kind is all that it has, and is in use.
func (s ourServer) livesBy(kind string) (string, error) {
	list, err := s.ask("GET", "identities", nil)
	if err != nil {
		return "", err
	}
	items, _ := list["items"].([]any)
	if len(items) != 1 {
		return "", fmt.Errorf("there are %d identities", len(items))
	}
	identity, _ := items[0].(map[string]any)
	credentials, _ := object(identity).at("status/credentials").([]any)
	if len(credentials) != 1 {
		return "", fmt.Errorf("it has the credentials %v", credentials)
	}
	one, _ := credentials[0].(map[string]any)
	if one["type"] != kind || one["usedSince"] == nil {
		return "", fmt.Errorf("it has the credential %v", one)
	}
	name, _ := object(identity).at("metadata/name").(string)
	return name, nil
}

// knock is the status by which our server answers an empty message of OpAMP over such a connection.
func knock(t *testing.T, s ourServer, config *tls.Config) int {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: config.Clone()}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport, Timeout: soon}).Post("https://"+s.opamp+"/v1/opamp",
		"application/x-protobuf", bytes.NewReader(nil))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}
