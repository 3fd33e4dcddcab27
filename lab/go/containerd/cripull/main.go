// Has containerd pull an image as the kubelet does, and prints what it calls it.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func main() {
	connection, err := grpc.NewClient("unix:///run/containerd/containerd.sock",
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	pulled, err := cri.NewImageServiceClient(connection).PullImage(ctx, &cri.PullImageRequest{
		Image: &cri.ImageSpec{Image: os.Args[1]},
	})
	check(err)
	shown, err := cri.NewImageServiceClient(connection).ImageStatus(ctx, &cri.ImageStatusRequest{
		Image: &cri.ImageSpec{Image: pulled.ImageRef},
	})
	check(err)
	fmt.Println(shown.Image.RepoDigests)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
