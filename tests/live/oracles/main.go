// archkit-oracle answers, for every line of standard input, what the libraries that engines and kubelets share
// make of it: one JSON value in, one JSON object out.
//
//	archkit-oracle platform    "linux/arm64/v8"                 platforms.Parse and Normalize
//	archkit-oracle normalize   {"os": …, "architecture": …}     platforms.Normalize
//	archkit-oracle match       [image, node] (objects as above) platforms.Only(node).Match(image)
//	archkit-oracle reference   "nginx:1.25"                     reference.ParseNormalizedNamed
package main

import (
	"bufio"
	_ "crypto/sha256" // digests of an algorithm that is not linked in are refused
	_ "crypto/sha512"
	"encoding/json"
	"fmt"
	"os"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

type answer map[string]any

func refused(err error) answer { return answer{"error": err.Error()} }

func described(p ocispec.Platform) answer {
	return answer{
		"os": p.OS, "arch": p.Architecture, "variant": p.Variant,
		"os_version": p.OSVersion, "os_features": p.OSFeatures, "text": platforms.FormatAll(p),
	}
}

func decode(line []byte, into any) {
	if err := json.Unmarshal(line, into); err != nil {
		fmt.Fprintf(os.Stderr, "not what this mode reads: %s: %v\n", line, err)
		os.Exit(2)
	}
}

func answerTo(mode string, line []byte) answer {
	switch mode {
	case "platform":
		var text string
		decode(line, &text)
		parsed, err := platforms.Parse(text)
		if err != nil {
			return refused(err)
		}
		return described(platforms.Normalize(parsed))
	case "normalize":
		var fields ocispec.Platform
		decode(line, &fields)
		return described(platforms.Normalize(fields))
	case "match":
		var pair [2]ocispec.Platform
		decode(line, &pair)
		return answer{"match": platforms.Only(pair[1]).Match(pair[0])}
	case "reference":
		var text string
		decode(line, &text)
		named, err := reference.ParseNormalizedNamed(text)
		if err != nil {
			return refused(err)
		}
		result := answer{
			"registry": reference.Domain(named), "repository": reference.Path(named),
			"text": named.String(), "familiar": reference.FamiliarString(named), "tag": nil, "digest": nil,
		}
		if tagged, ok := named.(reference.Tagged); ok {
			result["tag"] = tagged.Tag()
		}
		if digested, ok := named.(reference.Digested); ok {
			result["digest"] = digested.Digest().String()
		}
		return result
	}
	fmt.Fprintf(os.Stderr, "no such mode: %s\n", mode)
	os.Exit(2)
	return nil
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		if err := out.Encode(answerTo(os.Args[1], lines.Bytes())); err != nil {
			panic(err)
		}
	}
	if err := lines.Err(); err != nil {
		panic(err)
	}
}
