package main

import (
	"fmt"
	"runtime"

	"github.com/pkg/errors"
)

func main() {
	fmt.Println(runtime.GOARCH, errors.New("built without a network"))
}
