package main

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
)

// population is the players, who take turns, so that each has the same share of the load.
type population struct {
	names  []string
	tokens []string
	run    string // what makes the ids of this run its own
}

// readPopulation reads "name token" lines; without a file there is one player without a token.
func readPopulation(file string) (*population, error) {
	unique := make([]byte, 8)
	if _, err := rand.Read(unique); err != nil {
		return nil, err
	}
	p := &population{run: hex.EncodeToString(unique)}
	if file == "" {
		p.names, p.tokens = []string{"nobody"}, []string{""}
		return p, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		name, token, _ := strings.Cut(line, " ")
		p.names = append(p.names, name)
		p.tokens = append(p.tokens, token)
	}
	return p, nil
}

// template is text with variables in braces; a brace that begins no variable is itself.
type template []part

type part struct{ text, variable string }

func parse(text string) template {
	var found template
	for _, variable := range []string{"player", "token", "seq", "id"} {
		text = strings.ReplaceAll(text, "{"+variable+"}", "\x00"+variable+"\x00")
	}
	for i, piece := range strings.Split(text, "\x00") {
		if i%2 == 0 {
			found = append(found, part{text: piece})
		} else {
			found = append(found, part{variable: piece})
		}
	}
	return found
}

// render appends the text of request number seq to dst.
func (t template) render(dst []byte, p *population, seq int64) []byte {
	turn := int(seq % int64(len(p.names)))
	for _, piece := range t {
		switch piece.variable {
		case "":
			dst = append(dst, piece.text...)
		case "player":
			dst = append(dst, p.names[turn]...)
		case "token":
			dst = append(dst, p.tokens[turn]...)
		case "seq":
			dst = strconv.AppendInt(dst, seq, 10)
		case "id":
			dst = append(dst, p.run...)
			dst = append(dst, '-')
			dst = strconv.AppendInt(dst, seq, 10)
		}
	}
	return dst
}
