// Reads what examples/ledger_files.rs writes with Go's own packages, golang.org/x/mod/sumdb/note
// and .../tlog: notes, a cosignature, tiles and proofs.
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go run tests/interop/check.go DIRECTORY
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func read(parts ...string) []byte {
	data, err := os.ReadFile(filepath.Join(parts...))
	must(err)
	return data
}

// cosigner verifies witnesses' cosignatures (C2SP tlog-cosignature), which the package does not know.
type cosigner struct {
	name string
	id   uint32
	key  ed25519.PublicKey
}

func parseCosigner(vkey string) *cosigner {
	parts := strings.SplitN(vkey, "+", 3)
	typed, err := base64.StdEncoding.DecodeString(parts[2])
	must(err)
	hash := sha256.Sum256(append([]byte(parts[0]+"\n"), typed...))
	if typed[0] != 4 || hex.EncodeToString(hash[:4]) != parts[1] {
		log.Fatalf("not a witness's key: %s", vkey)
	}
	return &cosigner{parts[0], binary.BigEndian.Uint32(hash[:4]), typed[1:]}
}

func (c *cosigner) Name() string    { return c.name }
func (c *cosigner) KeyHash() uint32 { return c.id }
func (c *cosigner) Verify(text, timed []byte) bool {
	if len(timed) != 72 {
		return false
	}
	time := binary.BigEndian.Uint64(timed)
	message := append([]byte(fmt.Sprintf("cosignature/v1\ntime %d\n", time)), text...)
	return ed25519.Verify(c.key, message, timed[8:])
}

func checkpoint(data []byte, known note.Verifiers) tlog.Tree {
	opened, err := note.Open(data, known)
	must(err)
	if len(opened.Sigs) != 2 || len(opened.UnverifiedSigs) != 0 {
		log.Fatal("a checkpoint has not the ledger's signature and the witness's")
	}
	lines := strings.Split(opened.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	root, err := tlog.ParseHash(lines[2])
	must(err)
	return tlog.Tree{N: size, Hash: root}
}

// tiles reads a directory by the paths of C2SP tlog-tiles, which leave out the height.
type tiles string

func (t tiles) path(tile tlog.Tile) string {
	return filepath.Join(string(t), strings.Replace(tile.Path(), "tile/8/", "tile/", 1))
}
func (t tiles) Height() int { return 8 }
func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var data [][]byte
	for _, tile := range wanted {
		data = append(data, read(t.path(tile)))
	}
	return data, nil
}
func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func hash(text string) (h tlog.Hash) {
	data, err := hex.DecodeString(text)
	must(err)
	copy(h[:], data)
	return
}

func main() {
	directory := os.Args[1]
	var verifiers []note.Verifier
	for _, line := range strings.Split(strings.TrimSpace(string(read(directory, "keys"))), "\n") {
		words := strings.SplitN(line, " ", 2)
		if words[0] == "log" {
			verifier, err := note.NewVerifier(words[1])
			must(err)
			verifiers = append(verifiers, verifier)
		} else {
			verifiers = append(verifiers, parseCosigner(words[1]))
		}
	}
	known := note.VerifierList(verifiers...)
	older := checkpoint(read(directory, "older"), known)
	ledger := filepath.Join(directory, "ledger")
	newer := checkpoint(read(ledger, "checkpoint"), known)

	// The reader checks every tile against the checkpoint's root.
	reader := tlog.TileHashReader(newer, tiles(ledger))
	path, err := tlog.ProveTree(newer.N, older.N, reader)
	must(err)
	must(tlog.CheckTree(path, newer.N, newer.Hash, older.N, older.Hash))

	for n := int64(0); n*256 < newer.N; n++ {
		width := newer.N - n*256
		if width > 256 {
			width = 256
		}
		name := tiles(ledger).path(tlog.Tile{H: 8, L: 0, N: n, W: int(width)})
		bundle := read(strings.Replace(name, "/tile/0/", "/tile/entries/", 1))
		var indexes []int64
		for leaf := int64(0); leaf < width; leaf++ {
			indexes = append(indexes, tlog.StoredHashIndex(0, n*256+leaf))
		}
		leaves, err := reader.ReadHashes(indexes)
		must(err)
		for _, leaf := range leaves {
			length := binary.BigEndian.Uint16(bundle)
			entry := tlog.RecordHash(bundle[2 : 2+length])
			if !bytes.Equal(entry[:], leaf[:]) {
				log.Fatal("an entry is not its leaf")
			}
			bundle = bundle[2+length:]
		}
		if len(bundle) != 0 {
			log.Fatal("a bundle is longer than its tile")
		}
	}

	count := 0
	for _, line := range strings.Split(strings.TrimSpace(string(read(directory, "proofs"))), "\n") {
		words := strings.Split(line, " ")
		var path []tlog.Hash
		for _, word := range words[5:] {
			path = append(path, hash(word))
		}
		number := func(at int) int64 {
			value, err := strconv.ParseInt(words[at], 10, 64)
			must(err)
			return value
		}
		if words[0] == "inclusion" {
			must(tlog.CheckRecord(path, number(1), hash(words[2]), number(3), hash(words[4])))
		} else {
			must(tlog.CheckTree(path, number(3), hash(words[4]), number(1), hash(words[2])))
		}
		count++
	}
	fmt.Printf("two checkpoints, %d entries and %d proofs hold\n", newer.N, count)
}
