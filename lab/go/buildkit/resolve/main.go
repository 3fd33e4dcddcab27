// Says what BuildKit's Dockerfile frontend makes of Dockerfiles: the tests compare airgap with it.
//
// It reads requests from standard input, one JSON document each, and writes one answer each.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

type request struct {
	Dockerfile    string
	Target        string
	Args          map[string]string
	Platform      string
	BuildPlatform string
	// What the config of an image has: reference to triggers.
	OnBuild map[string][]string
}

type answer struct {
	Error        string     `json:"error"`
	Syntax       string     `json:"syntax"`
	SyntaxLine   int        `json:"syntax_line"`
	Instructions [][3]any   `json:"instructions"` // name, first line, last line
	Images       [][]string `json:"images"`       // reference, platform
	URLs         []string   `json:"urls"`
	Git          []string   `json:"git"`
}

// images stands in for a registry that has every image, and notes which are asked for.
type images struct {
	mutex   sync.Mutex
	onBuild map[string][]string
	asked   [][]string
}

func (i *images) ResolveImageConfig(_ context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	platform := opt.ImageOpt.Platform
	i.mutex.Lock()
	defer i.mutex.Unlock()
	i.asked = append(i.asked, []string{ref, platforms.Format(*platform)})
	config, err := json.Marshal(map[string]any{
		"os":           platform.OS,
		"architecture": platform.Architecture,
		"variant":      platform.Variant,
		"config":       map[string]any{"OnBuild": i.onBuild[ref]},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []digest.Digest{digest.FromString(ref)}},
	})
	return ref, "", config, err
}

func main() {
	decoder := json.NewDecoder(os.Stdin)
	encoder := json.NewEncoder(os.Stdout)
	for decoder.More() {
		var asked request
		check(decoder.Decode(&asked))
		check(encoder.Encode(resolve(asked)))
	}
}

func resolve(asked request) (found answer) {
	text := []byte(asked.Dockerfile)
	syntax, _, location, ok := parser.DetectSyntax(text)
	if ok {
		found.Syntax, found.SyntaxLine = syntax, location[0].Start.Line
	}
	if err := found.convert(asked, text); err != nil {
		found.Error = err.Error()
	}
	return found
}

func (found *answer) convert(asked request, text []byte) error {
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return err
	}
	for _, node := range parsed.AST.Children {
		found.Instructions = append(found.Instructions, [3]any{strings.ToUpper(node.Value), node.StartLine, node.EndLine})
	}
	target, err := platforms.Parse(asked.Platform)
	check(err)
	build, err := platforms.Parse(asked.BuildPlatform)
	check(err)
	registry := &images{onBuild: asked.OnBuild}
	caps := pb.Caps.CapSet(pb.Caps.All())
	result, err := dockerfile2llb.Dockerfile2LLB(context.Background(), text, dockerfile2llb.ConvertOpt{
		Config: dockerui.Config{
			BuildArgs:      asked.Args,
			Target:         asked.Target,
			BuildPlatforms: []ocispecs.Platform{build},
		},
		TargetPlatform: &target,
		MetaResolver:   registry,
		LLBCaps:        &caps,
	})
	if err != nil {
		return err
	}
	found.Images = registry.asked
	definition, err := result.State.Marshal(context.Background())
	if err != nil {
		return err
	}
	return found.sources(definition.Def)
}

func (found *answer) sources(definition [][]byte) error {
	for _, data := range definition {
		var op pb.Op
		if err := op.UnmarshalVT(data); err != nil {
			return err
		}
		source := op.GetSource()
		if source == nil {
			continue
		}
		if strings.HasPrefix(source.Identifier, "git://") {
			found.Git = append(found.Git, source.Attrs[pb.AttrFullRemoteURL])
		} else if strings.HasPrefix(source.Identifier, "http") {
			found.URLs = append(found.URLs, source.Identifier)
		}
	}
	slices.Sort(found.URLs)
	return nil
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
