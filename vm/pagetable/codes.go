package pagetable

import "github.com/memlab-go/memlab/vm"

// hardware returns what the processor reports for f. table says that a table,
// not the page itself, lies outside memory (BadFrame).
func (p *plan) hardware(f *vm.Fault, table bool) vm.HardwareCode {
	switch p.format.Arch {
	case vm.ArchX86:
		return p.codeX86(f)
	case vm.ArchRISCV:
		return p.codeRISCV(f)
	case vm.ArchARM:
		return p.codeARM(f, table)
	}
	return vm.HardwareCode{}
}

// The x86 page-fault error code, Intel SDM 3A, section 4.7.
const (
	pfPresent  = 1 << 0
	pfWrite    = 1 << 1
	pfUser     = 1 << 2
	pfReserved = 1 << 3
	pfFetch    = 1 << 4
)

func (p *plan) codeX86(f *vm.Fault) vm.HardwareCode {
	if f.Kind == vm.NonCanonical {
		return vm.HardwareCode{Arch: vm.ArchX86, Vector: 13}
	}
	if f.Kind == vm.BadFrame {
		return vm.HardwareCode{} // a bus matter: no exception is defined
	}
	var code uint64
	if f.Kind != vm.NotPresent {
		code |= pfPresent
	}
	if f.Access.Op() == vm.Write {
		code |= pfWrite
	}
	if f.Access.IsUser() {
		code |= pfUser
	}
	if f.Kind == vm.ReservedBit {
		code |= pfReserved
	}
	if f.Access.Op() == vm.Execute && (p.format.NoExec != 0 && !p.opts.NoNXE || p.opts.SMEP) {
		code |= pfFetch
	}
	return vm.HardwareCode{Arch: vm.ArchX86, Vector: 14, Code: code}
}

// codeRISCV gives scause: page faults 12, 13, 15; access faults 1, 5, 7 where
// there is no memory; guest-page faults 20, 21, 23 for a second stage.
func (p *plan) codeRISCV(f *vm.Fault) vm.HardwareCode {
	cause := [4]uint16{13, 15, 12}[f.Access.Op()&3]
	switch {
	case f.Kind == vm.BadFrame:
		cause -= 8
		if cause == 4 {
			cause = 1
		}
	case p.format.SecondStage:
		cause += 8
	}
	return vm.HardwareCode{Arch: vm.ArchRISCV, Vector: cause}
}

// codeARM gives the fault status code of ESR_ELx and PAR_EL1: a kind and the
// level of look-up, which Arm counts from the root.
func (p *plan) codeARM(f *vm.Fault, table bool) vm.HardwareCode {
	const (
		addressSize = 0x00
		translation = 0x04
		accessFlag  = 0x08
		permission  = 0x0c
		external    = 0x10
		walkAbort   = 0x14
	)
	level := uint64(max(p.top-f.Level, 0))
	if f.Level < 0 {
		level = 0
	}
	code := translation + level
	switch f.Kind {
	case vm.ReservedBit:
		code = addressSize + level
	case vm.NotAccessed:
		code = accessFlag + level
	case vm.Protection, vm.NotDirty:
		code = permission + level
	case vm.BadFrame:
		code = external
		if table {
			code = walkAbort + level
		}
	}
	return vm.HardwareCode{Arch: vm.ArchARM, Code: code}
}
