package text

import (
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// AppendJSON appends s as a JSON string. U+FFFD takes the place of each byte that is not
// UTF-8. What is not printable is escaped, because a terminal may show the string.
func AppendJSON(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch high, low := utf16.EncodeRune(r); {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case unicode.IsPrint(r):
			b = utf8.AppendRune(b, r)
		case r > 0xffff:
			b = appendEscape(appendEscape(b, high), low)
		default:
			b = appendEscape(b, r)
		}
	}
	return append(b, '"')
}

// AppendMember appends the name of an object's next member. The caller appends its value and, after
// the last member, the closing brace. An empty object gets the opening brace.
func AppendMember(object []byte, name string) []byte {
	separator := byte(',')
	if len(object) == 0 {
		separator = '{'
	}
	return append(AppendJSON(append(object, separator), name), ':')
}

func appendEscape(b []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	return append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}
