// Encrypts private keys at rest as APISIX does: AES-128-CBC with the keyring's first key as both key and IV.
package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"slices"
)

type keyring []string

// usable reports whether all its keys can be AES-128 keys.
func (k keyring) usable() bool {
	return len(k) > 0 && !slices.ContainsFunc(k, func(key string) bool { return len(key) != aes.BlockSize })
}

func (k keyring) seal(pem string) string {
	pad := aes.BlockSize - len(pem)%aes.BlockSize
	text := append([]byte(pem), bytes.Repeat([]byte{byte(pad)}, pad)...)
	block, _ := aes.NewCipher([]byte(k[0]))
	cipher.NewCBCEncrypter(block, []byte(k[0])).CryptBlocks(text, text)
	return base64.StdEncoding.EncodeToString(text)
}

// open tries every key in the keyring, so that the ring can be rotated. Like the real server, it takes the first one that yields
// valid padding: one time in 256 that is not the key that sealed, and the result is garbage.
func (k keyring) open(sealed string) (string, error) {
	failed := errors.New("failed to decrypt previous encrypted key")
	text, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil || len(text) == 0 || len(text)%aes.BlockSize != 0 {
		return "", failed
	}
	for _, secret := range k {
		block, _ := aes.NewCipher([]byte(secret))
		plain := make([]byte, len(text))
		cipher.NewCBCDecrypter(block, []byte(secret)).CryptBlocks(plain, text)
		pad := plain[len(plain)-1]
		if pad > 0 && pad <= aes.BlockSize && bytes.HasSuffix(plain, bytes.Repeat([]byte{pad}, int(pad))) {
			return string(plain[:len(plain)-int(pad)]), nil
		}
	}
	return "", failed
}
