package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"time"
)

// servers are those of the baselines; nil: not installed, or not usable here.
type servers struct {
	rsync, nginx, ssh *server
}

// server is a process that listens on a loopback port.
type server struct {
	cmd  *exec.Cmd
	port int
	said *bytes.Buffer
}

func (s *server) pids() []int { return []int{s.cmd.Process.Pid} }

func (s *server) url(scheme, path string) string {
	if scheme == "rsync" {
		path = "m/" + path
	}
	return fmt.Sprintf("%s://127.0.0.1:%d/%s", scheme, s.port, path)
}

func (s *servers) stop() {
	for _, one := range []*server{s.rsync, s.nginx, s.ssh} {
		if one != nil {
			one.stop()
		}
	}
}

// stop ends a server as it likes to be ended, and then for certain.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(os.Interrupt)
	late := time.AfterFunc(2*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer late.Stop()
	_ = s.cmd.Wait() // it was told to end
}

// startServers starts the servers that are installed and notes the others.
func (b *bench) startServers(ctx context.Context) error {
	for _, s := range []struct {
		name  string
		needs []string
		start func(port int) ([]string, error) // writes the configuration; the command line
		to    **server
	}{
		{"rsync", []string{"rsync"}, b.rsyncd, &b.servers.rsync},
		{"nginx and curl", []string{"nginx", "curl"}, b.nginx, &b.servers.nginx},
		{"scp", []string{"sshd", "ssh-keygen", "scp"}, b.sshd, &b.servers.ssh},
	} {
		started, err := startServer(ctx, s.needs, s.start)
		if err != nil {
			b.missing = append(b.missing, fmt.Sprintf("%s (%v)", s.name, err))
			continue
		}
		*s.to = started
	}
	return ctx.Err()
}

// startServer starts one server and waits until it listens.
func startServer(ctx context.Context, needs []string, configure func(port int) ([]string, error)) (*server, error) {
	for _, program := range needs {
		if _, err := findProgram(program); err != nil {
			return nil, fmt.Errorf("no %s", program)
		}
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	argv, err := configure(port)
	if err != nil {
		return nil, err
	}
	path, err := findProgram(argv[0])
	if err != nil {
		return nil, err
	}
	s := &server{cmd: exec.Command(path, argv[1:]...), port: port, said: new(bytes.Buffer)}
	s.cmd.Stderr = s.said
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for range 100 {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return s, conn.Close()
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	s.stop()
	return nil, fmt.Errorf("does not listen: %s", bytes.TrimSpace(s.said.Bytes()))
}

// findProgram looks where daemons are, too, which is not on everybody's PATH. It
// returns an absolute path, which sshd insists on.
func findProgram(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return filepath.Abs(path)
	}
	return exec.LookPath(filepath.Join("/usr/sbin", name))
}

// freePort finds a port that nobody listens on.
func freePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := ln.Addr().(*net.TCPAddr).Port
	return port, ln.Close()
}

// config writes a configuration file and returns its path.
func (b *bench) config(name, text string) (string, error) {
	path := filepath.Join(b.dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

func (b *bench) rsyncd(port int) ([]string, error) {
	who := ""
	if os.Geteuid() == 0 {
		who = "uid = root\ngid = root\n"
	}
	at, err := b.config("rsyncd.conf", "use chroot = no\n"+who+"[m]\npath = "+b.dir+"\nread only = no\n")
	return []string{"rsync", "--daemon", "--no-detach", "--address=127.0.0.1", fmt.Sprintf("--port=%d", port), "--config=" + at}, err
}

func (b *bench) nginx(port int) ([]string, error) {
	who := ""
	if os.Geteuid() == 0 {
		who = "user root;\n"
	}
	at, err := b.config("nginx.conf", fmt.Sprintf(`%sdaemon off;
pid %s/nginx.pid;
error_log stderr;
events {}
http {
	access_log off;
	sendfile on;
	client_body_temp_path %[2]s/nginx-temp;
	server { listen 127.0.0.1:%[3]d; root %[2]s; }
}
`, who, b.dir, port))
	return []string{"nginx", "-p", b.dir, "-c", at}, err
}

// sshd serves this user alone, by a key made for the purpose.
func (b *bench) sshd(port int) ([]string, error) {
	var errs []error
	for _, name := range []string{"ssh-host", "ssh-user"} {
		var u usage
		errs = append(errs, u.command(context.Background(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(b.dir, name)))
	}
	me, err := user.Current()
	if err = errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	at, err := b.config("sshd.conf", fmt.Sprintf(`ListenAddress 127.0.0.1
Port %d
HostKey %s/ssh-host
AuthorizedKeysFile %[2]s/ssh-user.pub
AllowUsers %s
StrictModes no
PasswordAuthentication no
PidFile none
Subsystem sftp internal-sftp
`, port, b.dir, me.Username))
	return []string{"sshd", "-D", "-e", "-f", at}, err
}

// scp is the beginning of a command line.
func (b *bench) scp() []string {
	return []string{
		"scp", "-q", "-P", fmt.Sprint(b.servers.ssh.port), "-i", filepath.Join(b.dir, "ssh-user"),
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
	}
}
