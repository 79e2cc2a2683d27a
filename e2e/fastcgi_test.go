//go:build linux

package e2e

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"
)

// fastCGI is the network of clients that speak FastCGI, by TCP.
const fastCGI = "fastcgi"

// The records of FastCGI and what stands in them (FastCGI Specification 1.0,
// sections 3.3 and 8), as far as a client of one request needs them.
const (
	fcgiVersion = 1

	fcgiBeginRequest = 1
	fcgiEndRequest   = 3
	fcgiParams       = 4
	fcgiStdin        = 5
	fcgiStdout       = 6
	fcgiStderr       = 7

	fcgiResponder = 1
	fcgiID        = 1 // of the only request on the connection
)

type fcgiHeader struct {
	Version, Type uint8
	ID            uint16
	Length        uint16
	Padding, _    uint8
}

// exchangeFastCGI asks the server to execute the script at path. A connection is for
// one request: the server closes it after the answer.
func (c *client) exchangeFastCGI(path string) (body string, keep bool, err error) {
	c.conn.SetDeadline(time.Now().Add(deadline))
	var request []byte
	add := func(kind uint8, content []byte) {
		request, _ = binary.Append(request, binary.BigEndian, fcgiHeader{fcgiVersion, kind, fcgiID, uint16(len(content)), 0, 0})
		request = append(request, content...)
	}
	add(fcgiBeginRequest, []byte{0, fcgiResponder, 0, 0, 0, 0, 0, 0})
	var params []byte
	for _, pair := range [][2]string{{"REQUEST_METHOD", "GET"}, {"SCRIPT_NAME", path}, {"SCRIPT_FILENAME", "." + path + "index.php"}} {
		params = append(append(params, uint8(len(pair[0])), uint8(len(pair[1]))), pair[0]+pair[1]...)
	}
	add(fcgiParams, params)
	add(fcgiParams, nil)
	add(fcgiStdin, nil)
	if _, err := c.conn.Write(request); err != nil {
		return "", false, fmt.Errorf("fresh connection: %w", err)
	}
	var answer, complaints strings.Builder
	for {
		var h fcgiHeader
		if err := binary.Read(c.reader, binary.BigEndian, &h); err != nil {
			return "", false, fmt.Errorf("after %d bytes of the answer: %w", answer.Len(), err)
		}
		content := make([]byte, int(h.Length)+int(h.Padding))
		if _, err := io.ReadFull(c.reader, content); err != nil {
			return "", false, fmt.Errorf("cut record: %w", err)
		}
		content = content[:h.Length]
		switch h.Type {
		case fcgiStdout:
			answer.Write(content)
		case fcgiStderr:
			complaints.Write(content)
		case fcgiEndRequest:
			header, body, found := strings.Cut(answer.String(), "\r\n\r\n")
			if !found || complaints.Len() > 0 || strings.Contains(header, "Status:") {
				return "", false, fmt.Errorf("answer %q, complaints %q", answer.String(), complaints.String())
			}
			return body, false, nil
		}
	}
}
