// A second verifier, for tests: tiles, proofs and signed notes are checked by golang.org/x/mod's sumdb/note and
// sumdb/tlog, which nobody here wrote. It reads one question a line from standard input, as JSON, and answers each with
// one line: "good: …" or "bad: …".
//
// Built without network from Debian's golang-golang-x-mod-dev: GO111MODULE=off GOPATH=/usr/share/gocode go build
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height, width = 8, 256

type question struct {
	What string   // "log" or "receipt"
	Path string   // a folder of tiles, or a .tlog-proof
	Keys []string // verifier keys, name+hash+base64
	Kept []string // older checkpoints that somebody kept
}

func main() {
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 1<<24)
	for input.Scan() {
		var asked question
		err := json.Unmarshal(input.Bytes(), &asked)
		found := ""
		if err == nil {
			found, err = answer(asked)
		}
		if err != nil {
			fmt.Printf("bad: %q\n", err.Error())
		} else {
			fmt.Printf("good: %s\n", found)
		}
	}
}

func answer(asked question) (string, error) {
	verifiers := []note.Verifier{}
	for _, key := range asked.Keys {
		verifier, err := note.NewVerifier(key)
		if err != nil {
			return "", err
		}
		verifiers = append(verifiers, verifier)
	}
	if asked.What == "receipt" {
		return checkReceipt(asked.Path, note.VerifierList(verifiers...))
	}
	return checkLog(asked.Path, asked.Kept, note.VerifierList(verifiers...))
}

// openCheckpoint returns what a checkpoint says, once note.Open has found a signature good.
func openCheckpoint(text []byte, verifiers note.Verifiers) (tlog.Tree, string, error) {
	opened, err := note.Open(text, verifiers)
	if err != nil {
		return tlog.Tree{}, "", err
	}
	for _, signature := range append(opened.Sigs, opened.UnverifiedSigs...) {
		if !isStrict(signature.Base64) {
			return tlog.Tree{}, "", errors.New("malformed base64")
		}
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return tlog.Tree{}, "", errors.New("it is not a checkpoint of three lines")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return tlog.Tree{}, "", errors.New("the size is malformed")
	}
	root, err := parseHash(lines[2])
	if err != nil {
		return tlog.Tree{}, "", err
	}
	if opened.Sigs[0].Name != lines[0] {
		return tlog.Tree{}, "", errors.New("it is a checkpoint of another log")
	}
	return tlog.Tree{N: size, Hash: root}, lines[0], nil
}

// isStrict says whether a text is the one spelling of its bytes. Go's decoder lets any padding bits through, and so do
// note.Open and tlog.ParseHash: they cannot be forged with it, but a changed byte would go unseen.
func isStrict(text string) bool {
	data, err := base64.StdEncoding.DecodeString(text)
	return err == nil && base64.StdEncoding.EncodeToString(data) == text
}

func parseHash(text string) (tlog.Hash, error) {
	if !isStrict(text) {
		return tlog.Hash{}, errors.New("malformed base64")
	}
	return tlog.ParseHash(text)
}

func checkLog(folder string, kept []string, verifiers note.Verifiers) (string, error) {
	text, err := os.ReadFile(filepath.Join(folder, "checkpoint"))
	if err != nil {
		return "", err
	}
	tree, origin, err := openCheckpoint(text, verifiers)
	if err != nil {
		return "", err
	}
	hashes := tlog.TileHashReader(tree, tiles{folder})
	if err := checkHashes(tree.N, hashes); err != nil {
		return "", err
	}
	if err := checkEntries(folder, tree, hashes); err != nil {
		return "", err
	}
	for _, path := range kept {
		if err := checkKept(path, tree, origin, hashes, verifiers); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d entries, %d older checkpoints", tree.N, len(kept)), nil
}

// checkHashes reads every hash of every tile, so that each is authenticated against the signed root.
func checkHashes(size int64, hashes tlog.HashReader) error {
	for level := 0; size>>(height*level) > 0; level++ {
		for first := int64(0); first < size>>(height*level); first += width {
			indexes := []int64{}
			for at := first; at < first+width && at < size>>(height*level); at++ {
				indexes = append(indexes, tlog.StoredHashIndex(height*level, at))
			}
			if _, err := hashes.ReadHashes(indexes); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkEntries proves every raw entry to be in the tree.
func checkEntries(folder string, tree tlog.Tree, hashes tlog.HashReader) error {
	for index := int64(0); index < tree.N; {
		count := tree.N - index
		if count > width {
			count = width
		}
		bundle, err := read(folder, "entries", index/width, int(count))
		if err != nil {
			return err
		}
		for done := int64(0); done < count; done++ {
			if len(bundle) < 2 || len(bundle) < 2+int(bundle[0])<<8+int(bundle[1]) {
				return errors.New("a bundle of entries is cut")
			}
			end := 2 + int(bundle[0])<<8 + int(bundle[1])
			proof, err := tlog.ProveRecord(tree.N, index, hashes)
			if err != nil {
				return err
			}
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(bundle[2:end])); err != nil {
				return err
			}
			bundle, index = bundle[end:], index+1
		}
		if len(bundle) > 0 {
			return errors.New("a bundle has too many entries")
		}
	}
	return nil
}

func checkKept(path string, tree tlog.Tree, origin string, hashes tlog.HashReader, verifiers note.Verifiers) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	older, name, err := openCheckpoint(text, verifiers)
	if err != nil {
		return err
	}
	if name != origin || older.N > tree.N {
		return errors.New("the log is another one, or was rolled back")
	}
	if older.N == 0 {
		return nil
	}
	proof, err := tlog.ProveTree(tree.N, older.N, hashes)
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, tree.N, tree.Hash, older.N, older.Hash)
}

// tiles reads C2SP tlog-tiles, whose names are those of x/mod without the height.
type tiles struct{ folder string }

func (t tiles) Height() int                     { return height }
func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}
func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	found := [][]byte{}
	for _, tile := range wanted {
		data, err := read(t.folder, strconv.Itoa(tile.L), tile.N, tile.W)
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

// read returns a tile's file; a partial one may have given way to the full one.
func read(folder, level string, number int64, count int) ([]byte, error) {
	name := fmt.Sprintf("%03d", number%1000)
	for rest := number / 1000; rest > 0; rest /= 1000 {
		name = fmt.Sprintf("x%03d/%s", rest%1000, name)
	}
	path := filepath.Join(folder, "tile", level, name)
	if count == width {
		return os.ReadFile(path)
	}
	data, err := os.ReadFile(path + ".p/" + strconv.Itoa(count))
	if err == nil || level == "entries" {
		return data, err
	}
	whole, err := os.ReadFile(path)
	if err == nil && len(whole) != width*tlog.HashSize {
		err = errors.New("a full tile has another length")
	}
	if err != nil {
		return nil, err
	}
	return whole[:count*tlog.HashSize], nil
}

// checkReceipt checks body → entry → leaf → root → signature of a C2SP tlog-proof.
func checkReceipt(path string, verifiers note.Verifiers) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	head, signed, found := bytes.Cut(text, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !found || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" || !strings.HasPrefix(lines[1], "extra ") {
		return "", errors.New("it is not a proof of an entry")
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	if err != nil || lines[2] != fmt.Sprintf("index %d", index) {
		return "", errors.New("it is not a proof of an entry")
	}
	proof := tlog.RecordProof{}
	for _, line := range lines[3:] {
		hash, err := parseHash(line)
		if err != nil {
			return "", err
		}
		proof = append(proof, hash)
	}
	entry, err := readExtra(strings.TrimPrefix(lines[1], "extra "))
	if err != nil {
		return "", err
	}
	tree, _, err := openCheckpoint(signed, verifiers)
	if err != nil {
		return "", err
	}
	if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
		return "", err
	}
	return fmt.Sprintf("entry %d of %d", index, tree.N), nil
}

// readExtra returns the entry, once it holds the hash of the receipt's body.
func readExtra(text string) ([]byte, error) {
	packed, err := base64.StdEncoding.DecodeString(text)
	if err != nil || !isStrict(text) {
		return nil, errors.New("malformed base64")
	}
	extra := map[string]string{}
	if err := json.Unmarshal(packed, &extra); err != nil {
		return nil, err
	}
	body, hasBody := extra["body"]
	if _, hasEntry := extra["entry"]; !hasEntry || (len(extra) == 2) != hasBody || len(extra) > 2 {
		return nil, errors.New("the extra data is not an entry")
	}
	var entry struct {
		Event   string
		Details struct {
			Body string `json:"body_sha256"`
		}
	}
	if err := json.Unmarshal([]byte(extra["entry"]), &entry); err != nil {
		return nil, err
	}
	if hasBody {
		sum := sha256.Sum256([]byte(body))
		if entry.Event != "receipt.issued" || entry.Details.Body != hex.EncodeToString(sum[:]) {
			return nil, errors.New("the receipt's text is not the one that the log holds")
		}
	}
	return []byte(extra["entry"]), nil
}
