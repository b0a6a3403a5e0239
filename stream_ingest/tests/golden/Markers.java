// Writes markers.txt: what ends transactions, as the classes of kafka-clients write it, with what is in it before.
//
//     mvn dependency:copy -Dartifact=org.apache.kafka:kafka-clients:4.1.1 -DoutputDirectory=libs
//     (the same for org.slf4j:slf4j-api:1.7.36)
//     java -cp 'libs/*' Markers.java > markers.txt          # with Java 17

import java.nio.ByteBuffer;
import java.util.HexFormat;
import org.apache.kafka.common.record.ControlRecordType;
import org.apache.kafka.common.record.EndTransactionMarker;
import org.apache.kafka.common.record.MemoryRecords;

class Markers {
    public static void main(String[] args) {
        long[][] markers = {
            // producer, epoch, time, offset, leader epoch
            {0, 0, 0, 0, 0},
            {1000, 7, 1_700_000_000_123L, 42, 3},
            {Long.MAX_VALUE, Short.MAX_VALUE, 1_800_000_000_000L, 1L << 40, Integer.MAX_VALUE},
        };
        for (ControlRecordType type : new ControlRecordType[] {ControlRecordType.COMMIT, ControlRecordType.ABORT}) {
            for (long[] m : markers) {
                ByteBuffer bytes = MemoryRecords.withEndTransactionMarker(
                    m[3], m[2], (int) m[4], m[0], (short) m[1], new EndTransactionMarker(type, 0)).buffer();
                byte[] out = new byte[bytes.remaining()];
                bytes.get(out);
                System.out.println(type + " " + m[0] + " " + m[1] + " " + m[2] + " " + m[3] + " " + m[4] + " "
                    + HexFormat.of().formatHex(out));
            }
        }
    }
}
