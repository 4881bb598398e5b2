// Encrypts private keys at rest as APISIX does: AES-128-CBC, the keyring's first key as key and as initial vector.
package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"strings"
)

type keyring []string

// seal encrypts a PEM key; anything else is taken as encrypted already, so that GET followed by PUT is stable.
func (k keyring) seal(key string) string {
	if !strings.HasPrefix(key, "---") || len(k) == 0 {
		return key
	}
	pad := aes.BlockSize - len(key)%aes.BlockSize
	text := append([]byte(key), bytes.Repeat([]byte{byte(pad)}, pad)...)
	secret := []byte(k[0])[:aes.BlockSize]
	block, _ := aes.NewCipher(secret)
	cipher.NewCBCEncrypter(block, secret).CryptBlocks(text, text)
	return base64.StdEncoding.EncodeToString(text)
}

// open tries every key of the keyring, so that a ring can be rotated.
func (k keyring) open(sealed string) (string, error) {
	if strings.HasPrefix(sealed, "---") {
		return sealed, nil
	}
	text, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil || len(text) == 0 || len(text)%aes.BlockSize != 0 {
		return "", errors.New("failed to decrypt previous encrypted key")
	}
	for _, secret := range k {
		secret := []byte(secret)[:aes.BlockSize]
		block, _ := aes.NewCipher(secret)
		plain := make([]byte, len(text))
		cipher.NewCBCDecrypter(block, secret).CryptBlocks(plain, text)
		if pad := int(plain[len(plain)-1]); pad > 0 && pad <= aes.BlockSize && strings.HasPrefix(string(plain), "---") {
			return string(plain[:len(plain)-pad]), nil
		}
	}
	return "", errors.New("failed to decrypt previous encrypted key")
}
