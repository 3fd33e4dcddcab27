// Finds an image as k3s does, by a registries.yaml: prints the digest, or says why it cannot.
package main

import (
	"fmt"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/rancher/wharfie/pkg/registries"
	"gopkg.in/yaml.v2"
)

func main() {
	file, image := os.Args[1], os.Args[2]
	text, err := os.ReadFile(file)
	check(err)
	// wharfie takes what it does not know for nothing; a misspelt key would pass.
	check(yaml.UnmarshalStrict(text, &registries.Registry{}))
	loaded, err := registries.GetPrivateRegistries(file)
	check(err)
	reference, err := name.ParseReference(image)
	check(err)
	found, err := loaded.Image(reference)
	check(err)
	layers, err := found.Layers()
	check(err)
	for _, layer := range layers {
		content, err := layer.Compressed()
		check(err)
		check(content.Close())
	}
	digest, err := found.Digest()
	check(err)
	fmt.Println(digest)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
