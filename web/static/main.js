// Where the scripts of a page start. Every page works without them; they add live numbers,
// dialogs in place of pages that ask, and values under the pointer.
import { startLive } from "./live.js";
import { startDialogs } from "./dialog.js";
import { startCharts } from "./charts.js";
import { startTopology } from "./topology.js";
import { startCounter } from "./counter.js";
import { localTimes } from "./times.js";
import { startNav } from "./nav.js";
import { startTables } from "./tables.js";
import { startTail } from "./tail.js";
import { startThemeButton } from "./themebutton.js";

startThemeButton();
startNav();
startTables();
startDialogs();
startCharts();
startTopology();
startCounter();
startTail();
localTimes(document);
startLive();
