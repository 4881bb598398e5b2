// The resource types of the random plugin.
package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

var keepers = attribute{kind: "map", input: true}

var randomKinds = map[string]kind{
	"random:index/randomPassword:RandomPassword": characters("3", true),
	"random:index/randomString:RandomString":     characters("2", false),
	"random:index/randomId:RandomId": {
		attributes: map[string]attribute{"byteLength": {kind: "number", required: true}, "prefix": {kind: "string"}, "keepers": keepers,
			"b64Std": {kind: "string", computed: true}, "b64Url": {kind: "string", computed: true}, "hex": {kind: "string", computed: true}, "dec": {kind: "string", computed: true}},
		create: func(in object) (string, object, error) {
			raw, prefix := randomBytes(in["byteLength"].(int64)), text(in, "prefix")
			url := base64.RawURLEncoding.EncodeToString(raw)
			return url, object{"b64Std": prefix + base64.StdEncoding.EncodeToString(raw), "b64Url": prefix + url,
				"hex": prefix + hex.EncodeToString(raw), "dec": prefix + new(big.Int).SetBytes(raw).String()}, nil
		},
	},
	"random:index/randomBytes:RandomBytes": {
		noID: true,
		attributes: map[string]attribute{"length": {kind: "number", required: true}, "keepers": keepers,
			"base64": {kind: "string", computed: true, secret: true}, "hex": {kind: "string", computed: true, secret: true}},
		create: func(in object) (string, object, error) {
			raw := randomBytes(in["length"].(int64))
			encoded := base64.StdEncoding.EncodeToString(raw)
			return encoded, object{"base64": encoded, "hex": hex.EncodeToString(raw)}, nil
		},
	},
	"random:index/randomUuid:RandomUuid": {
		attributes: map[string]attribute{"keepers": keepers, "result": {kind: "string", computed: true}},
		create: func(object) (string, object, error) {
			x := hex.EncodeToString(randomBytes(16))
			id := fmt.Sprintf("%s-%s-%s-%s-%s", x[:8], x[8:12], x[12:16], x[16:20], x[20:])
			return id, object{"result": id}, nil
		},
	},
	"random:index/randomPet:RandomPet": {
		attributes: map[string]attribute{"length": {kind: "number", fallback: int64(2)}, "separator": {kind: "string", fallback: "-"}, "prefix": {kind: "string"}, "keepers": keepers},
		create: func(in object) (string, object, error) {
			words := []string{}
			if prefix := text(in, "prefix"); prefix != "" {
				words = append(words, prefix)
			}
			for i := in["length"].(int64); i > 1; i-- {
				words = append(words, pick("brave", "calm", "eager", "gentle", "keen", "lucky", "proud", "quick"))
			}
			id := strings.Join(append(words, pick("badger", "beetle", "crane", "gecko", "heron", "lynx", "otter", "wren")), text(in, "separator"))
			return id, nil, nil
		},
	},
	"random:index/randomInteger:RandomInteger": {
		attributes: map[string]attribute{"min": {kind: "number", required: true}, "max": {kind: "number", required: true}, "seed": {kind: "string"}, "keepers": keepers,
			"result": {kind: "number", computed: true}},
		check: func(in object) (string, string) {
			low, knowsLow := in["min"].(int64)
			high, knowsHigh := in["max"].(int64)
			if knowsLow && knowsHigh && low > high {
				return "", "The minimum (min) value needs to be smaller than or equal to maximum (max) value."
			}
			if in["seed"] != nil {
				return "seed", "the stand-in draws no seeded integers"
			}
			return "", ""
		},
		create: func(in object) (string, object, error) {
			low, high := in["min"].(int64), in["max"].(int64)
			n := low + below(high-low+1)
			return strconv.FormatInt(n, 10), object{"result": n}, nil
		},
	},
}

// characters is RandomPassword and RandomString: the same but for secrecy and the password's hash.
func characters(meta string, password bool) kind {
	yes := attribute{kind: "bool", input: true, fallback: true}
	none := attribute{kind: "number", input: true, fallback: int64(0)}
	k := kind{meta: meta, attributes: map[string]attribute{
		"length": {kind: "number", required: true}, "keepers": keepers, "overrideSpecial": {kind: "string"},
		"lower": yes, "upper": yes, "number": yes, "numeric": yes, "special": yes,
		"minLower": none, "minUpper": none, "minNumeric": none, "minSpecial": none,
		"result": {kind: "string", computed: true, secret: password},
	}}
	k.check = func(in object) (string, string) {
		length, known := in["length"].(int64)
		sum := int64(0)
		for _, key := range []string{"minUpper", "minLower", "minNumeric", "minSpecial"} {
			n, _ := in[key].(int64)
			sum += n
		}
		switch {
		case known && length < 1:
			return "length", fmt.Sprintf("Invalid Attribute Value. Attribute length value must be at least 1, got: %d", length)
		case known && length < sum:
			return "length", fmt.Sprintf("Invalid Attribute Value. Attribute length value must be at least sum of min_upper + min_lower + min_numeric + min_special, got: %d", length)
		case in["number"] != nil: // deprecated; the program has no use for it
			return "number", "use numeric"
		}
		return "", ""
	}
	k.create = func(in object) (string, object, error) {
		special := "!@#$%&*()-_=+[]{}<>:?"
		if override := text(in, "overrideSpecial"); override != "" {
			special = override
		}
		in["number"] = in["numeric"] // the deprecated twin
		all, result := "", []byte{}
		for _, class := range []struct{ enabled, minimum, alphabet string }{
			{"upper", "minUpper", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}, {"lower", "minLower", "abcdefghijklmnopqrstuvwxyz"},
			{"numeric", "minNumeric", "0123456789"}, {"special", "minSpecial", special},
		} {
			if in[class.enabled] == true {
				all += class.alphabet
			}
			for range in[class.minimum].(int64) {
				result = append(result, class.alphabet[below(int64(len(class.alphabet)))])
			}
		}
		if all == "" {
			return "", nil, fmt.Errorf("Random Read Error: the character set specified is empty")
		}
		for int64(len(result)) < in["length"].(int64) {
			result = append(result, all[below(int64(len(all)))])
		}
		for i := range result {
			j := i + int(below(int64(len(result)-i)))
			result[i], result[j] = result[j], result[i]
		}
		if !password {
			return string(result), object{"result": string(result)}, nil
		}
		hash, err := bcrypt.GenerateFromPassword(result[:min(len(result), 72)], bcrypt.DefaultCost)
		return "none", object{"result": string(result), "bcryptHash": string(hash)}, err
	}
	if password {
		k.attributes["bcryptHash"] = attribute{kind: "string", computed: true, secret: true}
	}
	return k
}

func randomBytes(n int64) []byte {
	raw := make([]byte, n)
	_, _ = rand.Read(raw)
	return raw
}

func below(n int64) int64 {
	drawn, _ := rand.Int(rand.Reader, big.NewInt(n))
	return drawn.Int64()
}

func pick(words ...string) string { return words[below(int64(len(words)))] }
