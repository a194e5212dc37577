// Where the scripts of a page start. Every page works without them; they add live numbers,
// dialogs in place of pages that ask, and values under the pointer.
import { startLive } from "./live.js";
import { startDialogs } from "./dialog.js";
import { startCharts } from "./charts.js";
import { startTopology } from "./topology.js";
import { startCounter } from "./counter.js";
import { localTimes } from "./times.js";
import { startTables } from "./tables.js";
import { startThemeButton } from "./themebutton.js";

startThemeButton();
startTables();
startDialogs();
startCharts();
startTopology();
startCounter();
localTimes(document);
startLive();
