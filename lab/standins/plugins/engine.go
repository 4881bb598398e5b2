// The channel back to the engine: messages that the CLI shows while an operation runs.
package main

import (
	"context"
	"sync"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

type engine struct{ client pulumirpc.EngineClient }

func newEngine(address string) *engine {
	if address == "" {
		return &engine{}
	}
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return &engine{}
	}
	return &engine{pulumirpc.NewEngineClient(connection)}
}

func (e *engine) log(urn string, severity pulumirpc.LogSeverity, ephemeral bool, message string) {
	if e.client != nil {
		_, _ = e.client.Log(context.Background(), &pulumirpc.LogRequest{Urn: urn, Severity: severity, Ephemeral: ephemeral, Message: message})
	}
}

// status shows the progress of one operation, each message once.
type status struct {
	engine *engine
	urn    string
	mutex  sync.Mutex
	said   map[string]bool
}

func (e *engine) status(urn string) *status {
	return &status{engine: e, urn: urn, said: map[string]bool{}}
}

func (s *status) say(severity pulumirpc.LogSeverity, message string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if key := severity.String() + message; !s.said[key] {
		s.said[key] = true
		s.engine.log(s.urn, severity, true, message)
	}
}

func (s *status) info(message string)    { s.say(pulumirpc.LogSeverity_INFO, message) }
func (s *status) warning(message string) { s.say(pulumirpc.LogSeverity_WARNING, message) }

// clear empties the CLI's status column.
func (s *status) clear() { s.engine.log(s.urn, pulumirpc.LogSeverity_INFO, true, "") }
