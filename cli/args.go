package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// noLimit is for commands that take any number of arguments.
const noLimit = -1

// takes checks that a command is given from least to most arguments, and says
// which ones it wants.
func takes(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		_, wanted, _ := strings.Cut(cmd.Use, " ")
		switch {
		case len(args) < least:
			return usageOf(cmd, "%s: an argument is missing: %s", cmd.Name(), wanted)
		case most == 0 && len(args) > 0:
			return usageOf(cmd, "%s takes no arguments, and there is %q", cmd.Name(), args[0])
		case most != noLimit && len(args) > most:
			return usageOf(cmd, "%s: %q is one argument too many", cmd.Name(), args[most])
		}
		return nil
	}
}

// usageOf is an error of the command line, with the line as it should be.
func usageOf(cmd *cobra.Command, format string, args ...any) error {
	return withHint(usagef(format, args...), "usage:  %s", cmd.UseLine())
}

// flagError says in our words what is wrong with a flag.
func flagError(cmd *cobra.Command, err error) error {
	bad, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return withHint(usagef("%v", err), "see  %s --help", cmd.CommandPath())
	}
	f := bad.GetFlag()
	why := ""
	switch f.Value.Type() {
	case "int", "int64":
		why = fmt.Sprintf("%q is no number", bad.GetValue())
	case "bool":
		why = fmt.Sprintf("%q is not true or false", bad.GetValue())
	case "duration":
		why = fmt.Sprintf("%q is no time; write it like 90s or 10m", bad.GetValue())
	default:
		why = errors.Unwrap(bad).Error()
	}
	return withHint(usagef("--%s: %s", f.Name, why), "see  %s --help", cmd.CommandPath())
}

// text is a flag that cannot be given as empty, as by a variable that is not set.
type text string

// Set takes anything else.
func (t *text) Set(s string) error {
	if s == "" {
		return errors.New("it is empty")
	}
	*t = text(s)
	return nil
}

// String is the text.
func (t *text) String() string { return string(*t) }

// Type is what the help calls it.
func (t *text) Type() string { return "string" }

// positive is a flag that takes a number from one on; zero is none given.
type positive int64

// Set reads the number.
func (p *positive) Set(s string) error {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 {
		return fmt.Errorf("%q is not a number from 1 on", s)
	}
	*p = positive(n)
	return nil
}

// String is the number; nothing for none.
func (p *positive) String() string {
	if *p == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*p), 10)
}

// Type is what the help calls it.
func (p *positive) Type() string { return "number" }
