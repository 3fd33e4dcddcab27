// Says how containerd matches platforms: the tests compare airgap with it.
//
// It reads pairs from standard input, one JSON document each, and writes for each how it
// normalises both and whether the first takes the second. Of a third it says whether the first
// takes the second before it.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/containerd/platforms"
	specs "github.com/opencontainers/image-spec/specs-go/v1"
)

type asked struct {
	Wanted  specs.Platform `json:"wanted"`
	Offered specs.Platform `json:"offered"`
	Other   specs.Platform `json:"other"`
}

type answer struct {
	Wanted  string `json:"wanted"`
	Offered string `json:"offered"`
	Match   bool   `json:"match"`
	Before  bool   `json:"before"`
}

func main() {
	decoder := json.NewDecoder(bufio.NewReader(os.Stdin))
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	encoder := json.NewEncoder(out)
	for decoder.More() {
		var pair asked
		check(decoder.Decode(&pair))
		only := platforms.Only(pair.Wanted)
		check(encoder.Encode(answer{
			Wanted:  platforms.Format(platforms.Normalize(pair.Wanted)),
			Offered: platforms.Format(platforms.Normalize(pair.Offered)),
			Match:   only.Match(pair.Offered),
			Before:  only.Less(pair.Offered, pair.Other),
		}))
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
