package main

import (
	"fmt"
	"runtime"

	"github.com/google/uuid"
)

func main() {
	fmt.Println(runtime.GOARCH, uuid.NewSHA1(uuid.NameSpaceDNS, []byte("example.com")))
}
