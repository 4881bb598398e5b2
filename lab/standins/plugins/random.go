// The one resource type of the random plugin that the platform uses.
package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/bcrypt"
)

var randomKinds = map[string]kind{"random:index/randomPassword:RandomPassword": {
	meta: "3",
	attributes: map[string]attribute{
		"length": {}, "keepers": {kind: "map"}, "overrideSpecial": {}, "number": {fallback: true, refused: true},
		"lower": {fallback: true}, "upper": {fallback: true}, "numeric": {fallback: true}, "special": {fallback: true},
		"minLower": {fallback: int64(0)}, "minUpper": {fallback: int64(0)}, "minNumeric": {fallback: int64(0)}, "minSpecial": {fallback: int64(0)},
		"result": {computed: true, secret: true}, "bcryptHash": {computed: true, secret: true},
	},
	check:  checkPassword,
	create: createPassword,
}}

func checkPassword(in object) (string, string) {
	sum := int64(0)
	for _, key := range []string{"minUpper", "minLower", "minNumeric", "minSpecial"} {
		n, _ := in[key].(int64)
		sum += n
	}
	if length, known := in["length"].(int64); known && length < sum {
		return "length", fmt.Sprintf("Invalid Attribute Value. Attribute length value must be at least sum of min_upper + min_lower + min_numeric + min_special, got: %d", length)
	}
	return "", ""
}

func createPassword(in object) (string, object, error) {
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
			result = append(result, class.alphabet[below(len(class.alphabet))])
		}
	}
	if all == "" {
		return "", nil, errors.New("Random Read Error: the character set specified is empty")
	}
	for int64(len(result)) < in["length"].(int64) {
		result = append(result, all[below(len(all))])
	}
	for i := range result {
		j := i + below(len(result)-i)
		result[i], result[j] = result[j], result[i]
	}
	hash, err := bcrypt.GenerateFromPassword(result[:min(len(result), 72)], bcrypt.DefaultCost)
	return "none", object{"result": string(result), "bcryptHash": string(hash)}, err
}

func below(n int) int {
	drawn, _ := rand.Int(rand.Reader, big.NewInt(int64(n)))
	return int(drawn.Int64())
}
