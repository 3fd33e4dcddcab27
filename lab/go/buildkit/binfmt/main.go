// Command binfmt registers emulators with the kernel, as the program of the image
// tonistiigi/binfmt does: it has the same options, prints the same lines, names its entries in the
// same way, and ends with status 0 whatever happens.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/util/archutil"
)

// machine is what an ELF file of one architecture begins with (elf.h): its class, its order of
// bytes and its number.
type machine struct {
	qemu   string
	class  byte
	order  byte
	number byte
}

var machines = map[string]machine{
	"386":      {"i386", 1, 1, 0x03},
	"amd64":    {"x86_64", 2, 1, 0x3e},
	"arm":      {"arm", 1, 1, 0x28},
	"arm64":    {"aarch64", 2, 1, 0xb7},
	"mips64":   {"mips64", 2, 2, 0x08},
	"mips64le": {"mips64el", 2, 1, 0x08},
	"ppc64le":  {"ppc64le", 2, 1, 0x15},
	"riscv64":  {"riscv64", 2, 1, 0xf3},
	"s390x":    {"s390x", 2, 2, 0x16},
}

// rule is the magic and the mask that an ELF file of a machine is known by.
func (m machine) rule() (string, string) {
	magic := []byte("\x7fELF\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00")
	mask := []byte("\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff")
	magic[4], magic[5], magic[18] = m.class, m.order, m.number
	if m.order == 2 {
		swap := func(two []byte) { two[0], two[1] = two[1], two[0] }
		swap(magic[16:18])
		swap(magic[18:20])
		swap(mask[16:18])
	}
	if m.qemu == "i386" || m.qemu == "x86_64" { // two octets that some linkers set
		mask[5], mask[6] = 0xfe, 0xfe
	}
	return escaped(magic), escaped(mask)
}

func escaped(octets []byte) string {
	var text strings.Builder
	for _, octet := range octets {
		fmt.Fprintf(&text, `\x%02x`, octet)
	}
	return text.String()
}

func main() {
	log.SetFlags(0)
	table := flag.String("mount", "/proc/sys/fs/binfmt_misc", "binfmt_misc mount point")
	install := flag.String("install", "", "architectures to install")
	uninstall := flag.String("uninstall", "", "architectures to uninstall")
	version := flag.Bool("version", false, "display version")
	flag.Parse()
	archutil.CacheMaxAge = 0
	if *version {
		log.Print("binfmt/lab")
		return
	}
	if err := run(*table, *install, *uninstall); err != nil {
		log.Printf("error: %v", err)
	}
}

func run(table, install, uninstall string) error {
	if _, err := os.Stat(filepath.Join(table, "status")); err != nil {
		if err := syscall.Mount("binfmt_misc", table, "binfmt_misc", 0, ""); err != nil {
			return fmt.Errorf("cannot mount binfmt_misc filesystem at %s: %w", table, err)
		}
		defer syscall.Unmount(table, 0)
	}
	for _, name := range listed(uninstall) {
		report("uninstalling", name, unregister(table, name))
	}
	wanted := listed(install)
	if install == "all" {
		wanted = wanted[:0]
		for architecture := range machines {
			wanted = append(wanted, architecture)
		}
		slices.Sort(wanted)
	}
	for _, name := range wanted {
		if parsed, err := platforms.Parse(name); err == nil {
			name = parsed.Architecture
		}
		report("installing", name, register(table, name))
	}
	return show(table)
}

func listed(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

func report(what, name string, err error) {
	if err != nil {
		log.Printf("%s: %s %v", what, name, err)
	} else {
		log.Printf("%s: %s OK", what, name)
	}
}

func register(table, architecture string) error {
	machine, known := machines[architecture]
	if !known {
		return fmt.Errorf("unsupported architecture: %s", architecture)
	}
	flags := "CF"
	if os.Getenv("QEMU_PRESERVE_ARGV0") != "" {
		flags += "P"
	}
	entry := "qemu-" + machine.qemu
	emulator := filepath.Join("/usr/bin", entry)
	magic, mask := machine.rule()
	line := fmt.Sprintf(":%s:M:0:%s:%s:%s:%s", entry, magic, mask, emulator, flags)
	err := os.WriteFile(filepath.Join(table, "register"), []byte(line), 0)
	if errors.Is(err, syscall.EEXIST) {
		return fmt.Errorf("%s already registered", entry)
	}
	if err != nil {
		return fmt.Errorf("cannot register %q: %w", emulator, err)
	}
	return nil
}

// unregister takes away the entries of an architecture, of a name, or of a pattern.
func unregister(table, name string) error {
	pattern := name
	if parsed, err := platforms.Parse(name); err == nil {
		if machine, known := machines[parsed.Architecture]; known {
			pattern = "*-" + machine.qemu
		}
	}
	found, err := filepath.Glob(filepath.Join(table, pattern))
	if err != nil || len(found) == 0 {
		return errors.New("not found")
	}
	for _, entry := range found {
		if base := filepath.Base(entry); base == "register" || base == "status" {
			continue
		}
		if err := os.WriteFile(entry, []byte("-1"), 0); err != nil {
			return err
		}
	}
	return nil
}

func show(table string) error {
	files, err := os.ReadDir(table)
	if err != nil {
		return err
	}
	shown := struct {
		Supported []string `json:"supported"`
		Emulators []string `json:"emulators"`
	}{}
	for _, platform := range archutil.SupportedPlatforms(true) {
		shown.Supported = append(shown.Supported, platforms.FormatAll(platforms.Normalize(platform)))
	}
	for _, file := range files {
		if text, err := os.ReadFile(filepath.Join(table, file.Name())); err == nil &&
			file.Name() != "status" && strings.HasPrefix(string(text), "enabled") {
			shown.Emulators = append(shown.Emulators, file.Name())
		}
	}
	text, err := json.MarshalIndent(shown, "", "  ")
	if err == nil {
		fmt.Printf("%s\n", text)
	}
	return err
}
