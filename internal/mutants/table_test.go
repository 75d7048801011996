package mutants

// mutant is one rule taken out.
type mutant struct {
	rule string // that is missing
	file string // below the root
	old  string // occurs once in it
	new  string
	pkg  string // whose tests are run
	test string // the test, or a pattern of several, that must fail
}

var table = []mutant{
	// What is durable, and when.
	{
		"content's directory is synced before a record may name it", "filestore/stage.go",
		"if err := s.syncDir(path.Dir(st.path)); err != nil {", "if err := error(nil); err != nil {",
		"./filestore", "TestCrashAtEveryOperation",
	},
	{
		"content is synced before a record may name it", "filestore/stage.go",
		"time.Duration(d.Size()/hangRate)*time.Second, st.f.sync); err != nil {",
		"time.Duration(d.Size()/hangRate)*time.Second, func() error { return nil }); err != nil {",
		"./filestore", "TestCrashAtEveryOperation",
	},
	{
		"a commit is durable before it is answered", "filestore/generation.go",
		"	}\n	return g.file.syncData()\n", "	}\n	return nil\n",
		"./filestore", "TestCrashAtEveryOperation",
	},
	{
		"a generation of the journal has begun before there is a commit in it", "filestore/generation.go",
		"return g, f.syncData()", "return g, nil",
		"./filestore", "TestJournalIsAMap",
	},
	{
		"content without a durable file goes on into the next generation of the journal", "filestore/journal.go",
		"	if err := j.carry(g); err != nil {\n		return err\n	}\n", "",
		"./filestore", "TestJournalIsAMap",
	},
	{
		"a torn commit does not come back", "filestore/journal.go",
		"if err := orGiveBack(d, j.active.clear); err != nil {", "if err := error(nil); err != nil {",
		"./filestore", "TestJournalTornOrDamaged",
	},
	{
		"damage inside the journal is told from its torn end", "filestore/generation.go",
		"return g.nothingAfter(file)", "return nil",
		"./filestore", "TestJournalTornOrDamaged",
	},
	{
		"after a failed sync nothing more is written", "filestore/store.go",
		"return s.fail(fmt.Errorf(\"sync directory %s: %w\", dir, err))", "return fmt.Errorf(\"sync directory %s: %w\", dir, err)",
		"./filestore", "TestFailedSyncDegrades|TestSyncAfterAFailedOne",
	},
	{
		"a voter accepts only content that it holds", "node/register/voter.go",
		"case !holds && !m.Record.Deleted:", "case false:",
		"./node/register", "TestOnAccept",
	},
	{
		"a start leaves content in the journal until its file is durable", "filestore/small.go",
		"		s.note(r.entry, r.visible, true)\n", "",
		"./filestore", "TestAStart",
	},
	{
		"a disk that does not answer to reads has failed", "filestore/hang.go",
		"timer := time.AfterFunc(hangLimit, func() {", "timer := time.AfterFunc(1000*hangLimit, func() {",
		"./filestore", "TestAReadThatHangs",
	},

	// The register.
	{
		"a voter accepts only what it promised", "node/register/voter.go",
		"case r.Promised != m.Ballot:", "case r.Accepted.Compare(m.Ballot) > 0:",
		"./node/register", "TestSimulateMoves|TestSimulateCreation",
	},
	{
		"a voter keeps its promise when asked for another", "node/register/voter.go",
		"case m.Ballot.Fast, m.Ballot.Compare(r.Promised) < 0,", "case m.Ballot.Fast, m.Ballot.Compare(r.Accepted) < 0,",
		"./node/register", "TestSimulateMoves|TestSimulateCreation",
	},
	{
		"a creation in one round takes all voters", "node/register/quorum.go",
		"(!at.Fast || !slices.ContainsFunc(v.New", "(true || !slices.ContainsFunc(v.New",
		"./node/register", "TestSimulateCreation",
	},
	{
		"a voter that lost its table refuses what it may have promised to refuse", "node/register/voter.go",
		"	if m.Ballot.Counter > floor {", "	if true {",
		"./node/register", "TestSimulateSplits",
	},
	{
		"a fast ballot is below all others", "filestore/id.go",
		"	case b.Fast:\n		return 1\n", "",
		"./node/register", "TestSimulateCreation",
	},
	{
		"who has promised takes no creation", "node/register/voter.go",
		"r.Record != nil || !r.Promised.IsZero():", "r.Record != nil:",
		"./node/register", "TestOnCreate",
	},
	{
		"who may have missed a name takes no creation of it", "node/register/voter.go",
		"	case k != Authoritative:\n		return r, answer(DontKnow, r)\n	case !holds:", "	case !holds:",
		"./node/register", "TestSimulateMoves",
	},
	{
		"a read finishes a half-accepted value", "node/register/reading.go",
		"return a.Record != nil && a.Accepted == r.newest.Accepted &&", "return a.Record != nil &&",
		"./node/register", "TestReading",
	},
	{
		"voters compare lists", "node/register/voter.go",
		"return r.Record != nil && r.Accepted.Compare(v.Basis) > 0 && v.differs(r.Record)", "return false",
		"./node/register", "TestSimulateMoves",
	},
	{
		"the old voters are dropped only when both lists have the joint record", "node/register/round.go",
		"case r.view.Voters.Joint() && r.mayDropOld():", "case r.view.Voters.Joint():",
		"./node/register", "TestSimulateMoves",
	},
	{
		"while a record names two lists a majority of each is needed", "node/register/quorum.go",
		"&& (!v.Joint() || majorityOf(v.Old, has))", "",
		"./node/register", "TestSimulateMoves",
	},
	{
		"an operation that was done is not done again", "node/register/round.go",
		"if h.Op == c.Op {", "if false {",
		"./node/register", "TestSimulateMoves|TestSimulateCreation",
	},
	{
		"a change takes the counter beyond its base", "node/register/round.go",
		"max(p.Changes, c.Base)+1", "p.Changes+1",
		"./node/register", "TestAnOperationIsForgotten",
	},
	{
		"a take-over goes only to those whom it makes voters", "node/register/round.go",
		"		to = r.proposal.Voters\n", "",
		"./node/register", "TestATakeOverThatNobodyAccepts",
	},
	{
		"what a joining machine has is not the present record", "node/register/round.go",
		"return r.task.Force || r.view.Voters.Contains(m)", "return true",
		"./node/register", "TestAMachineFromAnEarlierLife",
	},
	{
		"a record supersedes only what has seen no more", "node/register/branch.go",
		"bool { return !hasSeen(next, s) })", "bool { return false })",
		"./node/register", "TestWhatAnUnchosenRecord",
	},
	{
		"who doubts what it has keeps it for others, where its name was taken over without it", "node/register/branch.go",
		"if !r.Held || !Parted(next, r.Record, r.Accepted) || r.Record.SameContent(next) {", "if true {",
		"./node", "TestWhatWasTakenOverMeanwhile",
	},
	{
		"a take-over says what it follows from", "node/register/round.go",
		"		p.Branch = branchOf(p.Branch, r.bestAt, r.task.Target)\n		see(&p, from)", "		see(&p, from)\n		p.Branch = branchOf(p.Branch, r.bestAt, r.task.Target)",
		"./node/register", "TestATakeOverFromWhatWasKept",
	},
	{
		"what is kept without a vote outlives the voters", "node/read.go",
		"case kept.record != nil && kept.view.Basis.Compare(best.view.Basis) > 0:", "case false:",
		"./node", "TestCopiesBeyondTheVotersOutliveThem",
	},
	{
		"a take-over goes on from a record that nobody with a vote has", "node/takeover.go",
		"	if f.kept {\n		task.Known", "	if false {\n		task.Known",
		"./node", "TestAStrayOutlivesTheVoters",
	},
	{
		"what is kept without a vote waits for voters that may come back", "node/takeover.go",
		"if f.kept && !f.survivor && !n.orphaned(f.view.Voters) {", "if false {",
		"./node", "TestAStrayWaitsForTheVoters",
	},
	{
		"a copy whose voters are all given up is looked after by who has it", "node/stray.go",
		"case reg.Held && n.orphaned(rec.Voters):", "case false:",
		"./node", "TestAStrayOutlivesTheVoters",
	},
	{
		"who is asked to keep a copy reads the name first", "node/extra.go",
		"if from != n.self() {", "if false {",
		"./node", "TestAVoterListIsNotTakenFromOneMember",
	},
	{
		"don't know counts towards no quorum", "node/register/voter.go",
		"if r.Record == nil && k != Authoritative {", "if false {",
		"./node", "TestNoFalseNotFound|TestAuthority|TestFetchesDuringJoins",
	},
	{
		"a refusal is remembered under the operation that was refused", "node/store.go",
		"Name: h.Name, Op: h.Op, Base: h.Base, IfExists: h.IfExists,\n\t\tContent:", "Name: h.Name, Op: NewOp(), Base: h.Base, IfExists: h.IfExists,\n\t\tContent:",
		"./node", "TestARefusalIsRemembered",
	},
	// The ring.
	{
		"split rings find each other again", "chord/join.go",
		"if m.reuniting != nil || m.breaks.noReunion ||", "if true ||",
		"./chord", "TestPartitionsHeal",
	},
	{
		"whom a list names nearer than its sender is asked", "chord/stabilize.go",
		"return m.nearer(p) && !r.dead(p) }); i >= 0 &&", "return false }); i >= 0 &&",
		"./chord", "TestARingThatGoesRoundTwice",
	},
	// Who knows what is not stored.
	{
		"a lost place is forgotten durably before another goes by it", "node/living.go",
		"return n.authority.settle()", "return nil",
		"./node", "TestALostPlaceStaysLost",
	},
	{
		"nobody had an arc only if all say so that anybody knows of", "node/compare.go",
		"members = max(members, c.members)", "_ = max(members, c.members)",
		"./node", "TestClaimants",
	},
	{
		"who doubts what it has is not one that never had it", "node/compare.go",
		"return n.store.Degraded() != nil || n.clock.mayBeAway() || n.doubts.anyIn(a)", "return n.store.Degraded() != nil || n.clock.mayBeAway()",
		"./node", "TestTheLastCopiesAreInDoubt",
	},
	{
		"claims are made durable one after the other", "node/authority.go",
		"a.saving <- struct{}{}\n\tdefer func() { <-a.saving }()\n", "",
		"./node", "TestPlacesAreLostWhileTheyAreClaimed",
	},
	{
		"who comes back first to a vacant range does not speak for the others", "node/compare.go",
		"l.takeOver = time.Time{}", "_ = time.Time{}",
		"./node", "TestTheFirstWhoComesBackHasMissedAName",
	},
	{
		"who does not hear enough of a name's voters reads it through others", "node/through.go",
		"if m != n.self() && !n.silence.of(m) && len(to) < throughMost {", "if false {",
		"./node", "TestTwoThatCannotTalkMissNothing",
	},
	{
		"what others have read does not replace newer news", "node/through.go",
		"return theirs.confirmed && (f.kept || theirs.view.Basis.Compare(f.view.Basis) >= 0)", "return theirs.confirmed",
		"./node", "TestWhatOthersHaveRead",
	},
	{
		"who votes no more forgets a tombstone when voters do", "node/gc.go",
		"(n.isOld(rec) || !reg.Since.IsZero()", "(!reg.Since.IsZero()",
		"./node", "TestATombstoneOfAMachineThatVotesNoMore",
	},
	// Copies.
	{
		"a copy is deleted only when every voter has confirmed its own", "node/stray.go",
		"if s.Voter && s.State != Durable {", "if s.Voter && s.State != Durable && false {",
		"./node", "TestAStrayThatIsNeededStays",
	},
	{
		"a copy is kept while the register names its node", "node/stray.go",
		"if v.Joint() || slices.Contains(v.New, n.self()) {", "if false && v.Joint() {",
		"./node", "TestAStrayThatIsNeededStays|TestStray|TestLogout|TestACrashDuringLogout",
	},
	{
		"a restart copies nothing", "node/repair.go",
		"return g.since.Add(n.cfg.Timing.RepairAfter)", "return g.since",
		"./node", "TestARestartCopiesNothing",
	},
	{
		"only who has the content has accepted", "node/register/round.go",
		"a.Status != OK || !a.Held && !r.proposal.Deleted {", "a.Status != OK {",
		"./node/register", "TestAnAcceptanceWithoutTheContent",
	},
	{
		"who has accepted and lacks the content says so again", "node/register/voter.go",
		"if !r.Held && !r.Record.Deleted {\n", "if false {\n",
		"./node/register", "TestOnAcceptRepeated",
	},
	{
		"content that could get no file is in the journal", "filestore/content.go",
		"if s.isUnplaced(e) {\n", "if false {\n",
		"./filestore", "TestSmallContentWithoutAFile",
	},
	{
		"another version's file is not taken for it", "filestore/update.go",
		"if s.isUnplaced(e) { //", "if false { //",
		"./filestore", "TestSmallContentWithoutAFile",
	},
	{
		"a damaged file is made anew from the journal", "filestore/quarantine.go",
		"good := s.journaled(e)\n", "good := []byte(nil)\n",
		"./filestore", "TestDamageBeforeAFlush",
	},
	{
		"a logout keeps what has too few copies", "node/logout.go",
		" && !short[reg.Record.Name] {", " {",
		"./node", "TestLogoutInAHurry",
	},
	{
		"a flush lets go no content that was written anew meanwhile", "filestore/small.go",
		"if s.unflushed[file] == u || s.unflushed[file] == nil {", "if u != nil {",
		"./filestore", "TestDamageDuringAFlush",
	},
	// Bytes.
	{
		"content that arrives must match its record", "filestore/stage.go",
		"if !d.Matches(rec) {", "if false {",
		"./filestore", "TestSealRefusesWhatDoesNotMatch",
	},
	{
		"a small content that arrives must match its record", "node/small.go",
		"view := n.coding.decode.View\n", "view := n.coding.decode.Unchecked\n",
		"./node", "TestSmallDamage",
	},
	{
		"a small content that is created must match its record", "filestore/create.go",
		"!isContent(c.Content, r)", "false && !isContent(c.Content, r)",
		"./filestore", "TestCreateTellsEachWhatBecameOfIt",
	},
	{
		"a name that is created is new", "filestore/create.go",
		"c.old.Record != nil || r == nil", "r == nil",
		"./filestore", "TestCreateTellsEachWhatBecameOfIt",
	},
	{
		"a file that is not ours is not created over", "filestore/create.go",
		"s.inTheWay(c.visible, c.old); err != nil", "s.inTheWay(c.visible, c.old); err != nil && false",
		"./filestore", "TestCreateTellsEachWhatBecameOfIt",
	},
	{
		"a small file is checked when it is read in one look", "filestore/install.go",
		"sha256.Sum256(content) == sum { //", "sha256.Sum256(content) != (Hash{}) { //",
		"./filestore", "TestReadSmall",
	},
	{
		"a record that is known already is still of one name", "node/encoded.go",
		"ok && rec.Name == name", "ok",
		"./node", "TestEncodedAnswersAreTheSame",
	},
	{
		"calls in one message are bounded as others are", "transfer/joined.go",
		"if !c.link.calls.take(n * callMemory) {", "if c.link.calls.take(n * callMemory); false {",
		"./transfer", "TestJoinedCallsAreBounded",
	},
	{
		"a fetch does not wait for holders that have all failed", "node/stripe.go",
		"if !head.done && len(s.failed) == len(s.from) {", "if false {",
		"./node", "TestAllOfSeveralHoldersFail",
	},
	{
		"lengths are checked before anything is read", "transfer/frame.go",
		"case length > int64(most):", "case length > int64(most)+1:",
		"./transfer", "TestLengthsAreCheckedBeforeReading",
	},
}
