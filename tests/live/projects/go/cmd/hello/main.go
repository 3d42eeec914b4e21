// Says what it runs on, and what it was built with.
package main

import (
	"fmt"
	"runtime"

	"example.test/hello/colours"
)

var version = "none"

func main() {
	fmt.Printf("Hello world! Running on %s/%s\n", runtime.GOOS, runtime.GOARCH)
	fmt.Printf("version %s, colours %s\n", version, colours.Names)
}
