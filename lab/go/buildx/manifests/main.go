// Decodes what clients give to Kubernetes' API as a server does that refuses unknown fields.
//
// It reads YAML documents, or one object in protobuf, from standard input, and prints each as JSON.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
)

var decoder = serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()

func main() {
	data, err := io.ReadAll(os.Stdin)
	check(err)
	if bytes.HasPrefix(data, []byte("k8s\x00")) {
		show(data)
		return
	}
	documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		check(err)
		show(document)
	}
}

func show(data []byte) {
	object, kind, err := decoder.Decode(data, nil, nil)
	check(err)
	object.GetObjectKind().SetGroupVersionKind(*kind)
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	check(err)
	check(json.NewEncoder(os.Stdout).Encode(fields))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
