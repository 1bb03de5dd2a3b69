// Signs and verifies images as notation does, for tests: notation's own command line is not to be had as a module.
//
//	notation-peer sign   REFERENCE --key key.pem --chain chain.pem [--envelope jws|cose] [--expiry 24h]
//	notation-peer verify REFERENCE --root root.pem [--subject "CN=x,O=y,ST=z,C=w"]
//
// REFERENCE is HOST:PORT/REPOSITORY@DIGEST of a registry that speaks plain HTTP.
package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/notaryproject/notation-core-go/signature/cose"
	"github.com/notaryproject/notation-core-go/signature/jws"
	corex509 "github.com/notaryproject/notation-core-go/x509"
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/registry"
	"github.com/notaryproject/notation-go/signer"
	"github.com/notaryproject/notation-go/verifier"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/notaryproject/notation-go/verifier/truststore"
	"oras.land/oras-go/v2/registry/remote"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: notation-peer sign|verify REFERENCE flags")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	key := flags.String("key", "", "private key, PKCS #8 in PEM")
	chain := flags.String("chain", "", "certificates, the signer's first, PEM")
	envelope := flags.String("envelope", "jws", "jws or cose")
	expiry := flags.Duration("expiry", 0, "how long the signature is good")
	root := flags.String("root", "", "trusted certificate, PEM")
	subject := flags.String("subject", "", "trusted subject; any when left out")
	if err := flags.Parse(args[2:]); err != nil {
		return err
	}
	target, err := remote.NewRepository(args[1])
	if err != nil {
		return err
	}
	target.PlainHTTP = true
	repository := registry.NewRepository(target)
	switch args[0] {
	case "sign":
		return sign(repository, args[1], *key, *chain, *envelope, *expiry)
	case "verify":
		return verify(repository, args[1], *root, *subject)
	}
	return fmt.Errorf("%q is neither sign nor verify", args[0])
}

func sign(repository registry.Repository, reference, keyFile, chainFile, envelope string, expiry time.Duration) error {
	chain, err := corex509.ReadCertificateFile(chainFile)
	if err != nil {
		return err
	}
	key, err := readKey(keyFile)
	if err != nil {
		return err
	}
	by, err := signer.NewGenericSigner(key, chain)
	if err != nil {
		return err
	}
	mediaType := jws.MediaTypeEnvelope
	if envelope == "cose" {
		mediaType = cose.MediaTypeEnvelope
	}
	_, err = notation.Sign(context.Background(), by, repository, notation.SignOptions{
		SignerSignOptions: notation.SignerSignOptions{SignatureMediaType: mediaType, ExpiryDuration: expiry},
		ArtifactReference: reference,
	})
	return err
}

func readKey(file string) (crypto.PrivateKey, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("%s holds no key in PEM", file)
	}
	return x509.ParsePKCS8PrivateKey(block.Bytes)
}

// roots is a trust store that holds one file's certificates, whatever store is asked for.
type roots []*x509.Certificate

func (r roots) GetCertificates(context.Context, truststore.Type, string) ([]*x509.Certificate, error) {
	return r, nil
}

func verify(repository registry.Repository, reference, rootFile, subject string) error {
	trusted, err := corex509.ReadCertificateFile(rootFile)
	if err != nil {
		return err
	}
	identity := "*"
	if subject != "" {
		identity = "x509.subject:" + subject
	}
	policy := &trustpolicy.Document{
		Version: "1.0",
		TrustPolicies: []trustpolicy.TrustPolicy{{
			Name:                  "test",
			RegistryScopes:        []string{"*"},
			SignatureVerification: trustpolicy.SignatureVerification{VerificationLevel: trustpolicy.LevelStrict.Name},
			TrustStores:           []string{"ca:test"},
			TrustedIdentities:     []string{identity},
		}},
	}
	by, err := verifier.New(policy, roots(trusted), nil)
	if err != nil {
		return err
	}
	_, _, err = notation.Verify(context.Background(), by, repository, notation.VerifyOptions{
		ArtifactReference:    reference,
		MaxSignatureAttempts: 20,
	})
	return err
}
