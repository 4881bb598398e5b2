// Names made from the engine's random seed, digit for digit as the Pulumi SDK makes them (lukechampine.com/frand: ChaCha8).
package main

import (
	crand "crypto/rand"
	"crypto/sha256"
	"math/rand/v2"
)

func uniqueName(seed []byte, prefix string) string {
	if len(seed) == 0 {
		seed = make([]byte, 32)
		_, _ = crand.Read(seed)
	}
	random := rand.NewChaCha8(sha256.Sum256(seed))
	name := prefix
	for range 8 {
		name += string("0123456789abcdef"[random.Uint64()%16])
	}
	return name
}
