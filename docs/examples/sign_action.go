// Sign an action, as a game server does it. Go 1.18 or newer, standard library only.
//
//	PROOF_KEY="$(cat proof.key)" go run sign_action.go alice level_complete 50 level-8c1f
package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"
)

// Action is what a player did. ID is the same for each attempt to report the same action: 1 to 128 visible ASCII
// characters, random where it is empty.
type Action struct {
	Player   string `json:"sub"`
	Type     string `json:"act"`
	Points   int64  `json:"pts"`
	ID       string `json:"jti"`
	IssuedAt int64  `json:"iat"`
	Expires  int64  `json:"exp"`
}

// SignAction is the action proof: the service counts it once for the player, within the lifetime (60 seconds at most
// by default). The key is the service's proof_key.
func SignAction(key []byte, action Action, lifetime time.Duration) (string, error) {
	if action.ID == "" {
		random := make([]byte, 12)
		if _, err := rand.Read(random); err != nil {
			return "", err
		}
		action.ID = base64.RawURLEncoding.EncodeToString(random)
	}
	action.IssuedAt = time.Now().Unix()
	action.Expires = action.IssuedAt + int64(lifetime.Seconds())
	claims, err := json.Marshal(action)
	if err != nil {
		return "", err
	}
	header := []byte(`{"alg":"HS256","typ":"action-proof+jwt"}`)
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), nil
}

func main() {
	key := os.Getenv("PROOF_KEY")
	if key == "" || len(os.Args) < 4 || len(os.Args) > 5 {
		fail("usage: PROOF_KEY=... sign_action PLAYER TYPE POINTS [ID]")
	}
	points, err := strconv.ParseInt(os.Args[3], 10, 64)
	if err != nil {
		fail(err)
	}
	action := Action{Player: os.Args[1], Type: os.Args[2], Points: points}
	if len(os.Args) == 5 {
		action.ID = os.Args[4]
	}
	proof, err := SignAction([]byte(key), action, time.Minute)
	if err != nil {
		fail(err)
	}
	fmt.Println(proof)
}

func fail(reason any) {
	fmt.Fprintln(os.Stderr, reason)
	os.Exit(1)
}
