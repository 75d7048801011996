package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// ring is a ring of daemons that are measured.
type ring struct {
	program string
	homes   []string
	pids    []int
	sockets []string
}

// startRing starts a ring of nodes below dir, on loopback or on links of their own.
func startRing(ctx context.Context, program, dir string, nodes int, on *links) (*ring, error) {
	r := &ring{program: program}
	token := ""
	for i := range nodes {
		r.homes = append(r.homes, filepath.Join(dir, fmt.Sprintf("n%d", i)))
		args := []string{"up"}
		if i > 0 {
			args = []string{"join", token}
		}
		var enter []string
		address := "127.0.0.1"
		if on != nil {
			enter, address = on.enter(i), on.address(i)
		}
		args = append(args, "--listen", address+":0", "--http", "off", "--name", fmt.Sprintf("n%d", i))
		var u usage
		if err := u.command(ctx, append(enter, r.args(i, args...)...)...); err != nil {
			return r, err
		}
		if i == 0 {
			out, err := r.dhtfs(ctx, 0, "invite", "--print", "token", "--uses", fmt.Sprint(nodes))
			if err != nil {
				return r, err
			}
			token = strings.TrimSpace(string(out))
		}
	}
	for i := range nodes {
		if _, err := r.dhtfs(ctx, i, "status", "--wait", "ready", "--timeout", "60s"); err != nil {
			return r, err
		}
		var d struct {
			PID    int    `json:"pid"`
			Socket string `json:"socket"`
		}
		raw, err := os.ReadFile(filepath.Join(r.homes[i], "daemon.json"))
		if err == nil {
			err = json.Unmarshal(raw, &d)
		}
		if err != nil {
			return r, err
		}
		r.pids = append(r.pids, d.PID)
		r.sockets = append(r.sockets, d.Socket)
	}
	return r, nil
}

// args is the command line of a dhtfs command at one node.
func (r *ring) args(node int, args ...string) []string {
	return append([]string{r.program, "--home", r.homes[node]}, args...)
}

// dhtfs runs a command that is not measured.
func (r *ring) dhtfs(ctx context.Context, node int, args ...string) ([]byte, error) {
	var u usage
	return u.output(ctx, r.args(node, args...)...)
}

// stop ends the daemons.
func (r *ring) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var errs []error
	for i := range r.homes {
		if _, err := os.Stat(filepath.Join(r.homes[i], "daemon.json")); err == nil {
			_, err = r.dhtfs(ctx, i, "down")
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// strangers returns the nodes that hold no copy of a file, so that a fetch there
// goes over the network; all nodes when each has a copy.
func (r *ring) strangers(ctx context.Context, name string) ([]int, error) {
	var doc struct{ Holders []holder }
	if err := r.ask(ctx, &doc, "stat", name); err != nil {
		return nil, err
	}
	return r.allBut(slices.DeleteFunc(doc.Holders, func(h holder) bool { return h.State != "durable" })), nil
}

// outsiders returns the nodes that are not to keep a name, so that all copies of a
// store there go over the network; all nodes when each is to keep it.
func (r *ring) outsiders(ctx context.Context, name string) ([]int, error) {
	var doc struct{ Group []holder }
	if err := r.ask(ctx, &doc, "locate", name); err != nil {
		return nil, err
	}
	return r.allBut(doc.Group), nil
}

// holder is a node as stat and locate name it.
type holder struct{ Name, State string }

// ask reads what a command for a name prints as JSON into doc.
func (r *ring) ask(ctx context.Context, doc any, verb, name string) error {
	out, err := r.dhtfs(ctx, 0, verb, "--json", name)
	if err != nil {
		return err
	}
	return json.Unmarshal(out, doc)
}

// allBut returns the nodes without some; all if none would be left.
func (r *ring) allBut(some []holder) []int {
	var all, rest []int
	for i := range r.homes {
		all = append(all, i)
		if !slices.ContainsFunc(some, func(h holder) bool { return h.Name == fmt.Sprintf("n%d", i) }) {
			rest = append(rest, i)
		}
	}
	if len(rest) == 0 {
		return all
	}
	return rest
}
