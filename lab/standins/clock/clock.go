// Package clock is the date that the stand-ins go by. LAB_CLOCK moves it: to the instant at which a program starts (RFC 3339, such
// as 2026-11-22T11:19:37Z), to replay a recording at its own date, or by a distance (+720h), to run beside tests at another date.
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
		fmt.Fprintf(os.Stderr, "%s is %q: give the instant of the start, such as 2026-11-22T11:19:37Z, or a distance from now, such as +720h\n", variable, setting)
		os.Exit(2)
	}
	return distance
}

// Now is time.Now for all that has to do with dates: certificates, and times in objects. What is only measured does without.
func Now() time.Time {
	return time.Now().Add(ahead)
}
