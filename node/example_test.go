package node_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net"
	"strings"
	"time"

	"github.com/dhtfs/dhtfs/chord"
	"github.com/dhtfs/dhtfs/node"
)

// start runs a member on a free local port, with its store in memory, until ctx ends.
func start(ctx context.Context, m *node.Membership) (*node.Node, <-chan error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	n, err := node.New(node.Config{Membership: m, Listener: listener})
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	if err := n.WaitReady(ctx); err != nil {
		log.Fatal(err)
	}
	return n, done
}

// Three nodes in one process: the first founds the ring, the others join it
// with its invite. A value stored through one is fetched through another.
func Example() {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	membership, err := node.Found("", node.RingOptions{Name: "example", Label: "ash"})
	if err != nil {
		log.Fatal(err)
	}
	ash, ashDone := start(ctx, membership)
	token, _, err := ash.Invite(time.Hour, 2)
	if err != nil {
		log.Fatal(err)
	}
	nodes, ended := []*node.Node{ash}, []<-chan error{ashDone}
	for _, label := range []string{"birch", "cedar"} {
		membership, err := node.Join(ctx, node.JoinOptions{Token: token, Label: label})
		if err != nil {
			log.Fatal(err)
		}
		n, done := start(ctx, membership)
		nodes, ended = append(nodes, n), append(ended, done)
	}

	stored, err := nodes[1].Store(ctx, "motd", strings.NewReader("hello, ring"), node.StoreOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %d of %d copies\n", stored.Action, stored.Copies, stored.Want)

	fetched, err := nodes[2].Fetch(ctx, "motd", node.FetchOptions{})
	if err != nil {
		log.Fatal(err)
	}
	var content bytes.Buffer
	if _, err := fetched.WriteTo(&content); err != nil {
		log.Fatal(err)
	}
	if err := fetched.Close(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(content.String())

	_, group, err := nodes[0].Locate(ctx, chord.KeyOf("motd"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(group), "nodes hold it")

	stop()
	for _, done := range ended {
		if err := <-done; err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// stored: 3 of 3 copies
	// hello, ring
	// 3 nodes hold it
}
