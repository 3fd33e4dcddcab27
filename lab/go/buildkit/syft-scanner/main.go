// Command syft-scanner stands for docker/buildkit-syft-scanner: it writes a statement with an SPDX
// document for each root file system that it is given (BuildKit's sbom-protocol.md). It knows the
// packages of Debian alone.
package main

import (
	"encoding/json"
	"log"
	"os"
	"path/filepath"
	"strings"
)

type object map[string]any

func main() {
	destination := os.Getenv("BUILDKIT_SCAN_DESTINATION")
	roots := []string{os.Getenv("BUILDKIT_SCAN_SOURCE")}
	if extras := os.Getenv("BUILDKIT_SCAN_SOURCE_EXTRAS"); extras != "" {
		found, _ := filepath.Glob(filepath.Join(extras, "*"))
		roots = append(roots, found...)
	}
	for _, root := range roots {
		name := filepath.Base(root)
		document := object{
			"_type":         "https://in-toto.io/Statement/v0.1",
			"predicateType": "https://spdx.dev/Document",
			"predicate": object{
				"spdxVersion": "SPDX-2.3",
				"SPDXID":      "SPDXRef-DOCUMENT",
				"name":        name,
				"creationInfo": object{
					"created":  "2026-01-01T00:00:00Z",
					"creators": []string{"Tool: scanner"},
				},
				"packages": packages(root),
			},
		}
		text, err := json.MarshalIndent(document, "", "  ")
		if err == nil {
			err = os.WriteFile(filepath.Join(destination, name+".spdx.json"), text, 0o644)
		}
		if err != nil {
			log.Fatal(err)
		}
	}
}

// packages is what dpkg knows of a root file system.
func packages(root string) []object {
	found := []object{}
	status, err := os.ReadFile(filepath.Join(root, "var/lib/dpkg/status"))
	if err != nil {
		return found
	}
	for _, paragraph := range strings.Split(string(status), "\n\n") {
		facts := map[string]string{}
		for _, line := range strings.Split(paragraph, "\n") {
			if name, value, ok := strings.Cut(line, ": "); ok {
				facts[name] = value
			}
		}
		if name := facts["Package"]; name != "" {
			entry := object{"SPDXID": "SPDXRef-" + name, "name": name}
			entry["versionInfo"] = facts["Version"]
			found = append(found, entry)
		}
	}
	return found
}
