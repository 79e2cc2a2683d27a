package socket

import (
	"errors"
	"fmt"
	"strings"
)

// maxLabel is systemd's limit (systemd.socket(5), FileDescriptorName=).
const maxLabel = 255

// checkLabel says why a label does not fit into our own syntax or into LISTEN_FDNAMES,
// where a colon ends it (sd_listen_fds_with_names(3)).
func checkLabel(label string) error {
	if label == "" {
		return errors.New("the label before the @ is empty")
	}
	if len(label) > maxLabel {
		return fmt.Errorf("the label before the @ has %d characters; %d fit", len(label), maxLabel)
	}
	for _, r := range label {
		if r <= ' ' || r > '~' || strings.ContainsRune(":;=,@/", r) {
			return fmt.Errorf("label %q holds %q; it may have printable ASCII but blanks and : ; = , @ /", label, r)
		}
	}
	return nil
}
