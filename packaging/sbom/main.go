// Command sbom writes what programs were built from, as an SPDX document: the modules
// that Go has noted in them, and the checksums of the programs.
//
//	sbom -name=start-server -version=1.0.0 -created=0 bin/start_server ...
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

type document struct {
	SPDXVersion       string         `json:"spdxVersion"`
	DataLicense       string         `json:"dataLicense"`
	SPDXID            string         `json:"SPDXID"`
	Name              string         `json:"name"`
	DocumentNamespace string         `json:"documentNamespace"`
	CreationInfo      creation       `json:"creationInfo"`
	Packages          []spdxPackage  `json:"packages"`
	Relationships     []relationship `json:"relationships"`
}

type creation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	SPDXID           string        `json:"SPDXID"`
	Name             string        `json:"name"`
	VersionInfo      string        `json:"versionInfo"`
	DownloadLocation string        `json:"downloadLocation"`
	FilesAnalyzed    bool          `json:"filesAnalyzed"`
	Purpose          string        `json:"primaryPackagePurpose"`
	Checksums        []checksum    `json:"checksums,omitempty"`
	ExternalRefs     []externalRef `json:"externalRefs,omitempty"`
}

type checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type externalRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type relationship struct {
	From string `json:"spdxElementId"`
	Type string `json:"relationshipType"`
	To   string `json:"relatedSpdxElement"`
}

func main() {
	name := flag.String("name", "", "name of the document")
	version := flag.String("version", "", "version of the programs")
	created := flag.Int64("created", 0, "when, in seconds since 1970")
	flag.Parse()
	d := document{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: "SPDXRef-DOCUMENT", Name: *name,
		CreationInfo: creation{time.Unix(*created, 0).UTC().Format(time.RFC3339), []string{"Tool: go-server-starter/packaging/sbom"}},
	}
	digest := sha256.New()
	for _, path := range flag.Args() {
		content, err := os.ReadFile(path)
		if err != nil {
			log.Fatal(err)
		}
		digest.Write(content)
		if err := d.program(path, *version, sha256.Sum256(content)); err != nil {
			log.Fatal(err)
		}
	}
	d.DocumentNamespace = fmt.Sprintf("https://github.com/lestrrat/go-server-starter/spdx/%s-%x", *name, digest.Sum(nil)[:16])
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(d); err != nil {
		log.Fatal(err)
	}
}

// program adds a program and the modules that it contains.
func (d *document) program(path, version string, sum [sha256.Size]byte) error {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return err
	}
	p := spdxPackage{
		SPDXID: id("program", filepath.Base(path)), Name: filepath.Base(path), VersionInfo: version,
		DownloadLocation: "NOASSERTION", Purpose: "APPLICATION",
		Checksums: []checksum{{"SHA256", hex.EncodeToString(sum[:])}},
	}
	d.Packages = append(d.Packages, p)
	d.Relationships = append(d.Relationships, relationship{d.SPDXID, "DESCRIBES", p.SPDXID})
	std := &debug.Module{Path: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go")}
	for _, module := range append([]*debug.Module{std}, info.Deps...) {
		if module.Replace != nil {
			module = module.Replace
		}
		to := d.module(module)
		d.Relationships = append(d.Relationships, relationship{p.SPDXID, "CONTAINS", to})
	}
	return nil
}

// module adds a module, unless it is there, and returns its name in the document.
func (d *document) module(m *debug.Module) string {
	p := spdxPackage{
		SPDXID: id("module", m.Path, m.Version), Name: m.Path, VersionInfo: m.Version,
		DownloadLocation: "NOASSERTION", Purpose: "LIBRARY",
		ExternalRefs: []externalRef{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + m.Path + "@" + m.Version}},
	}
	if slices.ContainsFunc(d.Packages, func(known spdxPackage) bool { return known.SPDXID == p.SPDXID }) {
		return p.SPDXID
	}
	d.Packages = append(d.Packages, p)
	return p.SPDXID
}

var notInID = regexp.MustCompile(`[^a-zA-Z0-9.-]+`)

func id(words ...string) string {
	return "SPDXRef-" + notInID.ReplaceAllString(strings.Join(words, "-"), "-")
}
