// The oracle: what kubectl's YAML library makes of a document.
//
// One JSON string a line comes in, a document. One JSON object a line goes out: "json", what YAMLToJSON gives, or
// "error"; and "strict", the error of YAMLToJSONStrict, which also refuses a key written twice.
package main

import (
	"bufio"
	"encoding/json"
	"os"

	"sigs.k8s.io/yaml"
)

type answer struct {
	JSON   json.RawMessage `json:"json,omitempty"`
	Error  string          `json:"error,omitempty"`
	Strict string          `json:"strict,omitempty"`
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for in.Scan() {
		var document string
		var a answer
		if err := json.Unmarshal(in.Bytes(), &document); err != nil {
			panic(err)
		}
		converted, err := yaml.YAMLToJSON([]byte(document))
		if err != nil {
			a.Error = err.Error()
		} else {
			a.JSON = converted
		}
		if _, err := yaml.YAMLToJSONStrict([]byte(document)); err != nil {
			a.Strict = err.Error()
		}
		line, err := json.Marshal(a)
		if err != nil {
			panic(err)
		}
		out.Write(line)
		out.WriteByte('\n')
	}
}
