// Package clock is the stand-ins' clock. LAB_CLOCK moves it: to an instant at which the program then starts (RFC 3339, such as
// 2026-11-22T11:19:37Z), to replay a recording at its own date, or by an offset (+720h), for tests with a shifted date.
package clock

import (
	"fmt"
	"os"
	"time"
)

const variable = "LAB_CLOCK"

var ahead = offset(os.Getenv(variable))

func offset(setting string) time.Duration {
	if setting == "" {
		return 0
	}
	if instant, err := time.Parse(time.RFC3339, setting); err == nil {
		return time.Until(instant)
	}
	distance, err := time.ParseDuration(setting)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s is %q: give a start time, such as 2026-11-22T11:19:37Z, or an offset from now, such as +720h\n", variable, setting)
		os.Exit(2)
	}
	return distance
}

// Now is time.Now for everything that involves dates: certificates, and times in objects. Measuring durations does not need it.
func Now() time.Time {
	return time.Now().Add(ahead)
}
