// The Node language host: it starts the program, or a policy pack, under the node on PATH.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

// bailCode is the exit code by which the SDK's runner says that it has reported the error itself.
const bailCode = 32

type nodejs struct {
	pulumirpc.UnimplementedLanguageRuntimeServer
	engine string

	mutex    sync.Mutex
	children map[*exec.Cmd]bool
}

func (n *nodejs) Handshake(_ context.Context, r *pulumirpc.LanguageHandshakeRequest) (*pulumirpc.LanguageHandshakeResponse, error) {
	n.engine = r.EngineAddress
	return &pulumirpc.LanguageHandshakeResponse{}, nil
}

func (n *nodejs) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: "3.274.1"}, nil
}

// Cancel stops programs that are still running: a ^C reaches only the engine.
func (n *nodejs) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	for child := range n.children {
		_ = syscall.Kill(-child.Process.Pid, syscall.SIGTERM)
	}
	return &emptypb.Empty{}, nil
}

type packageJSON struct {
	Name, Version string
	Pulumi        *struct {
		Resource      bool
		Name, Version string
	}
	Dependencies map[string]string
}

func readPackage(folder string) (p packageJSON, err error) {
	raw, err := os.ReadFile(filepath.Join(folder, "package.json"))
	if err == nil {
		err = json.Unmarshal(raw, &p)
	}
	return p, err
}

// installed finds a dependency the way Node does: in the nearest node_modules that has it.
func installed(folder, name string) (string, error) {
	for at := folder; ; at = filepath.Dir(at) {
		candidate := filepath.Join(at, "node_modules", name)
		if _, err := os.Stat(filepath.Join(candidate, "package.json")); err == nil {
			return candidate, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("%s is not installed: it is in no node_modules at or above %s; run npm ci", name, folder)
		}
	}
}

// GetRequiredPackages names the provider plugins behind the SDKs that the program depends on.
func (n *nodejs) GetRequiredPackages(_ context.Context, r *pulumirpc.GetRequiredPackagesRequest) (*pulumirpc.GetRequiredPackagesResponse, error) {
	folder := r.Info.GetProgramDirectory()
	own, err := readPackage(folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	response := &pulumirpc.GetRequiredPackagesResponse{}
	for _, name := range sortedKeys(own.Dependencies) {
		where, err := installed(folder, name)
		if err != nil {
			continue
		}
		if p, err := readPackage(where); err == nil && p.Pulumi != nil && p.Pulumi.Resource {
			response.Packages = append(response.Packages, &pulumirpc.PackageDependency{
				Name: p.Pulumi.Name, Kind: "resource", Version: "v" + strings.TrimPrefix(cmp.Or(p.Pulumi.Version, p.Version), "v")})
		}
	}
	return response, nil
}

func (n *nodejs) About(ctx context.Context, r *pulumirpc.AboutRequest) (*pulumirpc.AboutResponse, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, fmt.Errorf("no node on PATH: %w", err)
	}
	version, err := exec.CommandContext(ctx, node, "--version").Output()
	if err != nil {
		return nil, err
	}
	response := &pulumirpc.AboutResponse{Executable: node, Version: strings.TrimSpace(string(version)), Metadata: map[string]string{"packagemanager": "npm"}}
	if npm, err := exec.CommandContext(ctx, "npm", "--version").Output(); err == nil {
		response.Metadata["packagemanagerVersion"] = strings.TrimSpace(string(npm))
	}
	if where, err := installed(r.Info.GetProgramDirectory(), "typescript"); err == nil {
		if p, err := readPackage(where); err == nil {
			response.Metadata["typescriptVersion"] = p.Version
		}
	}
	return response, nil
}

func (n *nodejs) Run(_ context.Context, r *pulumirpc.RunRequest) (*pulumirpc.RunResponse, error) {
	pwd := cmp.Or(r.Info.GetProgramDirectory(), r.Pwd)
	command, err := sdkCommand(pwd, "run")
	if err != nil {
		return nil, err
	}
	flags := []struct{ name, value string }{
		{"--monitor", r.MonitorAddress}, {"--engine", n.engine}, {"--organization", r.Organization}, {"--project", r.Project}, {"--stack", r.Stack},
		{"--pwd", r.Pwd}, {"--root-directory", r.Info.GetRootDirectory()}, {"--parallel", strconv.Itoa(int(r.Parallel))},
	}
	for _, f := range flags {
		if f.value != "" {
			command.Args = append(command.Args, f.name, f.value)
		}
	}
	if r.DryRun {
		command.Args = append(command.Args, "--dry-run")
	}
	command.Args = append(append(command.Args, cmp.Or(r.Info.GetEntryPoint(), ".")), r.Args...)
	config, _ := json.Marshal(merged(r.Config, nil))
	secretKeys, _ := json.Marshal(append([]string{}, r.ConfigSecretKeys...))
	typescript, stated := r.Info.GetOptions().AsMap()["typescript"].(bool)
	command.Dir = pwd
	command.Env = append(os.Environ(), "PULUMI_CONFIG="+string(config), "PULUMI_CONFIG_SECRET_KEYS="+string(secretKeys),
		fmt.Sprintf("PULUMI_NODEJS_TYPESCRIPT=%v", typescript || !stated))
	// The engine reads this process's own output, so the program's is copied through. It does not get the files themselves:
	// Node.js may make them non-blocking, for this process too.
	command.Stdout, command.Stderr = struct{ io.Writer }{os.Stdout}, struct{ io.Writer }{os.Stderr}
	code, err := n.run(command)
	switch {
	case err == nil:
		return &pulumirpc.RunResponse{}, nil
	case code == bailCode:
		return &pulumirpc.RunResponse{Bail: true}, nil
	case code > 0:
		return &pulumirpc.RunResponse{Error: fmt.Sprintf("program exited with non-zero exit code: %d", code)}, nil
	}
	return &pulumirpc.RunResponse{Error: fmt.Sprintf("the program did not end by itself: %v", err)}, nil
}

// RunPlugin starts a policy pack, a Node program that serves the analyzer protocol.
func (n *nodejs) RunPlugin(r *pulumirpc.RunPluginRequest, stream grpc.ServerStreamingServer[pulumirpc.RunPluginResponse]) error {
	if r.Kind != "analyzer" {
		return fmt.Errorf("the stand-in runs policy packs, not a plugin of kind %q", r.Kind)
	}
	folder := r.Info.GetProgramDirectory()
	command, err := sdkCommand(folder, "run-policy-pack")
	if err != nil {
		return err
	}
	command.Args = append(append(command.Args, r.Args...), folder)
	command.Dir, command.Env = r.Pwd, append(os.Environ(), r.Env...)
	var mutex sync.Mutex
	send := func(response *pulumirpc.RunPluginResponse) {
		mutex.Lock()
		defer mutex.Unlock()
		_ = stream.Send(response)
	}
	command.Stdout = printed(func(text []byte) {
		send(&pulumirpc.RunPluginResponse{Output: &pulumirpc.RunPluginResponse_Stdout{Stdout: text}})
	})
	command.Stderr = printed(func(text []byte) {
		send(&pulumirpc.RunPluginResponse{Output: &pulumirpc.RunPluginResponse_Stderr{Stderr: text}})
	})
	go func() { // the engine stops a plugin by dropping the call
		<-stream.Context().Done()
		n.kill(command)
	}()
	code, err := n.run(command)
	if err != nil && code <= 0 {
		return err
	}
	send(&pulumirpc.RunPluginResponse{Output: &pulumirpc.RunPluginResponse_Exitcode{Exitcode: int32(code)}})
	return nil
}

// printed takes what a program prints, piece by piece.
type printed func(text []byte)

func (p printed) Write(text []byte) (int, error) {
	p(bytes.Clone(text))
	return len(text), nil
}

// sdkCommand starts one of the SDK's runners, as installed by the program in the folder.
func sdkCommand(folder, runner string) (*exec.Cmd, error) {
	sdk, err := installed(folder, "@pulumi/pulumi")
	if err != nil {
		return nil, err
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, fmt.Errorf("no node on PATH: %w", err)
	}
	return exec.Command(node, filepath.Join(sdk, "cmd", runner)), nil
}

// kill ends a running command and everything that it started.
func (n *nodejs) kill(command *exec.Cmd) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.children[command] {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGTERM)
	}
}

// run starts a command in its own process group and returns its exit code (-1: killed or not started).
func (n *nodejs) run(command *exec.Cmd) (int, error) {
	// The death signal is tied to the thread that starts the child, not to the process, so keep the thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	n.mutex.Lock()
	err := command.Start()
	if err == nil {
		n.children[command] = true
	}
	n.mutex.Unlock()
	if err != nil {
		return -1, err
	}
	err = command.Wait()
	n.mutex.Lock()
	delete(n.children, command)
	n.mutex.Unlock()
	return command.ProcessState.ExitCode(), err
}
