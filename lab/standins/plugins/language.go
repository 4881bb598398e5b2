// The Node language host: it starts the program, or a policy pack, under the node on PATH.
package main

import (
	"bufio"
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

// bailCode is how the SDK's runner says that it has reported the error itself.
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
	return &pulumirpc.PluginInfo{Version: versions["nodejs"]}, nil
}

// Cancel stops the programs that still run: a ^C reaches the engine only.
func (n *nodejs) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	for child := range n.children {
		_ = syscall.Kill(-child.Process.Pid, syscall.SIGTERM)
	}
	return &emptypb.Empty{}, nil
}

func (n *nodejs) RuntimeOptionsPrompts(context.Context, *pulumirpc.RuntimeOptionsRequest) (*pulumirpc.RuntimeOptionsResponse, error) {
	return &pulumirpc.RuntimeOptionsResponse{}, nil
}

type packageJSON struct {
	Name, Version string
	Pulumi        *struct {
		Resource      bool
		Name, Version string
	}
	Dependencies, DevDependencies map[string]string
}

func readPackage(folder string) (p packageJSON, err error) {
	raw, err := os.ReadFile(filepath.Join(folder, "package.json"))
	if err == nil {
		err = json.Unmarshal(raw, &p)
	}
	return p, err
}

// installed finds a dependency the way Node does: in the nearest node_modules that has it.
func installed(folder, name string) (string, bool) {
	for {
		candidate := filepath.Join(folder, "node_modules", name)
		if _, err := os.Stat(filepath.Join(candidate, "package.json")); err == nil {
			return candidate, true
		}
		if parent := filepath.Dir(folder); parent != folder {
			folder = parent
			continue
		}
		return "", false
	}
}

// dependencies are the packages that package.json names, and where they lie.
func dependencies(folder string) (map[string]packageJSON, error) {
	own, err := readPackage(folder)
	if err != nil {
		return nil, err
	}
	out := map[string]packageJSON{}
	for name := range merged(own.Dependencies, own.DevDependencies) {
		if where, found := installed(folder, name); found {
			if p, err := readPackage(where); err == nil {
				out[name] = p
			}
		}
	}
	return out, nil
}

// GetRequiredPackages names the provider plugins behind the SDKs that the program depends on.
func (n *nodejs) GetRequiredPackages(_ context.Context, r *pulumirpc.GetRequiredPackagesRequest) (*pulumirpc.GetRequiredPackagesResponse, error) {
	found, err := dependencies(r.Info.GetProgramDirectory())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	response := &pulumirpc.GetRequiredPackagesResponse{}
	for _, name := range sortedKeys(found) {
		p := found[name]
		if p.Pulumi == nil || !p.Pulumi.Resource {
			continue
		}
		plugin, version := p.Pulumi.Name, p.Pulumi.Version
		if plugin == "" {
			plugin = strings.TrimPrefix(name, "@pulumi/")
		}
		if version == "" {
			version = p.Version
		}
		response.Packages = append(response.Packages, &pulumirpc.PackageDependency{Name: plugin, Kind: "resource", Version: "v" + strings.TrimPrefix(version, "v")})
	}
	return response, nil
}

func (n *nodejs) GetRequiredPlugins(ctx context.Context, r *pulumirpc.GetRequiredPluginsRequest) (*pulumirpc.GetRequiredPluginsResponse, error) {
	packages, err := n.GetRequiredPackages(ctx, &pulumirpc.GetRequiredPackagesRequest{Info: r.Info})
	response := &pulumirpc.GetRequiredPluginsResponse{}
	for _, p := range packages.GetPackages() {
		response.Plugins = append(response.Plugins, &pulumirpc.PluginDependency{Name: p.Name, Kind: p.Kind, Version: p.Version})
	}
	return response, err
}

func (n *nodejs) GetProgramDependencies(_ context.Context, r *pulumirpc.GetProgramDependenciesRequest) (*pulumirpc.GetProgramDependenciesResponse, error) {
	found, err := dependencies(r.Info.GetProgramDirectory())
	response := &pulumirpc.GetProgramDependenciesResponse{}
	for _, name := range sortedKeys(found) {
		response.Dependencies = append(response.Dependencies, &pulumirpc.DependencyInfo{Name: name, Version: found[name].Version})
	}
	return response, err
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
	if where, found := installed(r.Info.GetProgramDirectory(), "typescript"); found {
		if p, err := readPackage(where); err == nil {
			response.Metadata["typescriptVersion"] = p.Version
		}
	}
	return response, nil
}

func (n *nodejs) InstallDependencies(r *pulumirpc.InstallDependenciesRequest, stream grpc.ServerStreamingServer[pulumirpc.InstallDependenciesResponse]) error {
	arguments := []string{"install", "--loglevel=error"}
	command := exec.Command("npm", arguments...)
	command.Dir = r.Info.GetProgramDirectory()
	_, err := n.run(command,
		func(line []byte) { _ = stream.Send(&pulumirpc.InstallDependenciesResponse{Stdout: line}) },
		func(line []byte) { _ = stream.Send(&pulumirpc.InstallDependenciesResponse{Stderr: line}) })
	return err
}

func (n *nodejs) Run(_ context.Context, r *pulumirpc.RunRequest) (*pulumirpc.RunResponse, error) {
	pwd := r.Info.GetProgramDirectory()
	if pwd == "" {
		pwd = r.Pwd
	}
	sdk, found := installed(pwd, "@pulumi/pulumi")
	if !found {
		return nil, fmt.Errorf("the Pulumi SDK is not installed: no node_modules/@pulumi/pulumi at or above %s; run npm ci", pwd)
	}
	command, err := nodeCommand(r.Info.GetOptions().AsMap(), filepath.Join(sdk, "cmd", "run"))
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
	program := r.Info.GetEntryPoint()
	if program == "" {
		program = "."
	}
	command.Args = append(append(command.Args, program), r.Args...)
	config, secretKeys := r.Config, r.ConfigSecretKeys
	if config == nil {
		config = map[string]string{}
	}
	if secretKeys == nil {
		secretKeys = []string{}
	}
	configJSON, _ := json.Marshal(config)
	secretsJSON, _ := json.Marshal(secretKeys)
	command.Dir = pwd
	command.Env = append(os.Environ(), "PULUMI_CONFIG="+string(configJSON), "PULUMI_CONFIG_SECRET_KEYS="+string(secretsJSON))
	typescript, stated := r.Info.GetOptions().AsMap()["typescript"].(bool)
	command.Env = append(command.Env, fmt.Sprintf("PULUMI_NODEJS_TYPESCRIPT=%v", typescript || !stated))
	// The engine reads this process's own output: what the program prints goes through.
	code, err := n.run(command, func(line []byte) { _, _ = os.Stdout.Write(line) }, func(line []byte) { _, _ = os.Stderr.Write(line) })
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

// RunPlugin starts a policy pack, which is a Node program that serves the analyzer protocol.
func (n *nodejs) RunPlugin(r *pulumirpc.RunPluginRequest, stream grpc.ServerStreamingServer[pulumirpc.RunPluginResponse]) error {
	folder := r.Info.GetProgramDirectory()
	script := folder
	if r.Kind == "analyzer" {
		sdk, found := installed(folder, "@pulumi/pulumi")
		if !found {
			return fmt.Errorf("the Pulumi SDK is not installed: no node_modules/@pulumi/pulumi at or above %s; run npm ci", folder)
		}
		script = filepath.Join(sdk, "cmd", "run-policy-pack")
	}
	command, err := nodeCommand(r.Info.GetOptions().AsMap(), script)
	if err != nil {
		return err
	}
	command.Args = append(command.Args, r.Args...)
	if r.Kind == "analyzer" {
		command.Args = append(command.Args, folder)
	}
	command.Dir, command.Env = r.Pwd, append(os.Environ(), r.Env...)
	var mutex sync.Mutex
	send := func(response *pulumirpc.RunPluginResponse) {
		mutex.Lock()
		defer mutex.Unlock()
		_ = stream.Send(response)
	}
	go func() { // the engine ends a plugin by dropping the call
		<-stream.Context().Done()
		n.kill(command)
	}()
	code, err := n.run(command,
		func(line []byte) {
			send(&pulumirpc.RunPluginResponse{Output: &pulumirpc.RunPluginResponse_Stdout{Stdout: line}})
		},
		func(line []byte) {
			send(&pulumirpc.RunPluginResponse{Output: &pulumirpc.RunPluginResponse_Stderr{Stderr: line}})
		})
	if err != nil && code <= 0 {
		return err
	}
	send(&pulumirpc.RunPluginResponse{Output: &pulumirpc.RunPluginResponse_Exitcode{Exitcode: int32(code)}})
	return nil
}

func nodeCommand(options map[string]any, script string) (*exec.Cmd, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, fmt.Errorf("no node on PATH: %w", err)
	}
	arguments, _ := options["nodeargs"].(string)
	return exec.Command(node, append(strings.Fields(arguments), script)...), nil
}

func (n *nodejs) kill(command *exec.Cmd) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.children[command] {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGTERM)
	}
}

// run starts a command in a process group of its own, passes its output on as it comes, and gives its exit code (-1: killed or not started).
func (n *nodejs) run(command *exec.Cmd, stdout, stderr func([]byte)) (int, error) {
	out, err := command.StdoutPipe()
	if err != nil {
		return -1, err
	}
	errs, err := command.StderrPipe()
	if err != nil {
		return -1, err
	}
	// The death signal is tied to the thread that starts the child, not to the process: keep it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	n.mutex.Lock()
	if err := command.Start(); err != nil {
		n.mutex.Unlock()
		return -1, err
	}
	if n.children == nil {
		n.children = map[*exec.Cmd]bool{}
	}
	n.children[command] = true
	n.mutex.Unlock()
	var streams sync.WaitGroup
	for _, pipe := range []struct {
		from io.Reader
		to   func([]byte)
	}{{out, stdout}, {errs, stderr}} {
		streams.Add(1)
		go func() {
			defer streams.Done()
			reader := bufio.NewReader(pipe.from)
			buffer := make([]byte, 64<<10)
			for {
				count, err := reader.Read(buffer)
				if count > 0 {
					pipe.to(append([]byte(nil), buffer[:count]...))
				}
				if err != nil {
					return
				}
			}
		}()
	}
	streams.Wait()
	err = command.Wait()
	n.mutex.Lock()
	delete(n.children, command)
	n.mutex.Unlock()
	return command.ProcessState.ExitCode(), err
}
