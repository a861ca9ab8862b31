package pagetable

import (
	"fmt"

	"github.com/memlab-go/memlab/vm"
)

// Options are the switches of the processor that walks a table. The zero value
// is an ordinary one: write protection, no-execute, global pages and huge pages
// on, accessed and dirty bits set by hardware.
type Options struct {
	PABits int // width of a physical address; default, and at most: the format's PABits

	// RAM is the range of physical addresses at which pages may lie; zero RAMSize
	// means the memory that holds the tables.
	RAMBase vm.PhysAddr
	RAMSize uint64

	// x86
	NoWP  bool // CR0.WP = 0: privileged writes ignore R/W
	NoNXE bool // EFER.NXE = 0: bit 63 is reserved
	NoPGE bool // CR4.PGE = 0: G is ignored
	NoPSE bool // CR4.PSE = 0: PS is ignored (32-bit paging)
	SMEP  bool // CR4.SMEP: privileged code cannot be fetched from user pages
	SMAP  bool // CR4.SMAP: privileged code cannot touch user pages, except accesses with [vm.SUM] (EFLAGS.AC)

	// RISC-V
	Svnapot bool // 64 KiB pages made of sixteen entries
	Svpbmt  bool // memory types in bits 62 and 61

	// Arm
	WXN bool // SCTLR_EL1.WXN: writable is never executable
	PAN bool // PSTATE.PAN: privileged code cannot touch EL0 pages, except accesses with [vm.SUM]

	// SoftwareAccessed and SoftwareDirty leave the bits to software: an access
	// that would set one faults instead (Svade; Arm without HA or HD). With
	// neither, hardware sets them (Svadu; x86 always does).
	SoftwareAccessed, SoftwareDirty bool

	// Frames supplies and takes back the frames of tables; its frames have the
	// format's page size. Without one, nothing that needs a new table succeeds.
	Frames vm.FrameSource
}

// validate fills in the defaults for format f over memory m.
func (o *Options) validate(f *Format, m *vm.Memory) error {
	if err := f.Check(); err != nil {
		return err
	}
	if o.PABits == 0 {
		o.PABits = int(f.PABits)
	}
	if o.PABits < int(f.PageShift()) || o.PABits > int(f.PABits) {
		return fmt.Errorf("pagetable: %s: physical addresses of %d bits: want %d to %d", f.Name, o.PABits, f.PageShift(), f.PABits)
	}
	if o.RAMSize == 0 {
		o.RAMBase, o.RAMSize = m.Base(), m.Size()
	}
	if f.Arch == vm.ArchX86 && (o.SoftwareAccessed || o.SoftwareDirty) {
		return fmt.Errorf("pagetable: %s: x86 processors always set accessed and dirty bits themselves", f.Name)
	}
	if o.Svnapot && f.NapotBit == 0 || o.Svpbmt && f.NapotBit == 0 {
		return fmt.Errorf("pagetable: %s: Svnapot and Svpbmt need 64-bit RISC-V entries", f.Name)
	}
	return nil
}
